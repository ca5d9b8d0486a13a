/** Writes docs/plots: each case of the bench as an SVG, from the figures that were kept. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { barPlot } from './plots/bar-plot.js';
import { keptFigures, plotName } from './plots/kept.js';

const folder = process.argv[3];
if (folder === undefined) throw new Error('the folder of the plots is missing');
mkdirSync(folder, { recursive: true });
for (const each of keptFigures().cases) writeFileSync(join(folder, plotName(each)), barPlot(each));
