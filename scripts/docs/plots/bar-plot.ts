/** A case of the bench as an SVG: a bar for each contender, its spread, and the limit of ours. */
import type { Kept } from './kept.js';

const [WIDTH, LABELS, ROW, BAR, MARGIN] = [720, 250, 30, 16, 20];
const [OURS, THEIRS, LINES, LIMIT] = ['#2a6fb0', '#a9b4c0', '#333333', '#c0392b'];
const PLOT = WIDTH - LABELS - 4 * MARGIN;

/** The plot of one case; its bars begin at 0. */
export function barPlot({ name, figures, limit }: Kept): string {
  const limitMs = limitOf(limit, figures);
  const most = Math.max(...figures.map(({ wallMs }) => wallMs.max), limitMs ?? 0);
  const x = (ms: number) => round(LABELS + (ms / most) * PLOT);
  const bottom = 2 * MARGIN + figures.length * ROW;
  const bars = figures.flatMap(({ contender, wallMs: { median, min, max } }, row) => {
    const middle = 2 * MARGIN + row * ROW + ROW / 2;
    return [
      text(LABELS - 8, middle + 4, contender, 'end'),
      `<rect x="${String(LABELS)}" y="${String(middle - BAR / 2)}" width="${String(round(x(median) - LABELS))}" height="${String(BAR)}" fill="${row === 0 ? OURS : THEIRS}"/>`,
      line([x(min), middle], [x(max), middle], LINES),
      ...[min, max].map((ms) => line([x(ms), middle - 4], [x(ms), middle + 4], LINES)),
      text(x(max) + 6, middle + 4, `${String(round(median))} ms`, 'start'),
    ];
  });
  const limitLine =
    limitMs === undefined
      ? []
      : [
          line([x(limitMs), 2 * MARGIN - 4], [x(limitMs), bottom + 4], LIMIT, ' stroke-dasharray="4 3"'),
          text(x(limitMs), bottom + 16, `limit ${String(round(limitMs))} ms`, 'middle'),
        ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${String(WIDTH)}" height="${String(bottom + 2 * MARGIN)}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(name)}</title>`,
    `<rect width="100%" height="100%" fill="white"/>`,
    ...bars,
    line([LABELS, 2 * MARGIN - 4], [LABELS, bottom + 4], LINES),
    ...limitLine,
    '</svg>\n',
  ].join('\n');
}

function limitOf(limit: Kept['limit'], figures: Kept['figures']): number | undefined {
  if (limit === undefined) return undefined;
  if ('ms' in limit) return limit.ms;
  const median = figures.find(({ contender }) => contender === limit.of)?.wallMs.median;
  return median === undefined ? undefined : median * limit.times;
}

type Point = readonly [x: number, y: number];

function line(from: Point, to: Point, color: string, more = ''): string {
  const [[x1, y1], [x2, y2]] = [from, to];
  return `<line x1="${String(x1)}" y1="${String(y1)}" x2="${String(x2)}" y2="${String(y2)}" stroke="${color}"${more}/>`;
}

function text(x: number, y: number, words: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${String(x)}" y="${String(y)}" text-anchor="${anchor}">${escaped(words)}</text>`;
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
