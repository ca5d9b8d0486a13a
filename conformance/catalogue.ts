/** Every case, in the order in which they run. */
import { authorisationCases } from './cases/authorisation.js';
import { changeCases } from './cases/changes.js';
import { conversionCases } from './cases/conversions.js';
import { copyCases } from './cases/copies.js';
import { crashCases } from './cases/crashes.js';
import { fileCases } from './cases/files.js';
import { folderCases } from './cases/folders.js';
import { hostCases } from './cases/host.js';
import { hostileCases } from './cases/hostile.js';
import { imageCases } from './cases/images.js';
import { inventoryCases } from './cases/inventory.js';
import { limitCases } from './cases/limits.js';
import { numberCases } from './cases/numbers.js';
import { operationCases } from './cases/operations.js';
import { overlayCases } from './cases/overlays.js';
import { planCases } from './cases/plans.js';
import { retryCases } from './cases/retries.js';
import { serviceCases } from './cases/services.js';
import { snapshotCases } from './cases/snapshots.js';
import { transferCases } from './cases/transfers.js';
import type { Case } from './runner/case.js';

export const CASES: readonly Case[] = [
  ...serviceCases,
  ...hostCases,
  ...imageCases,
  ...overlayCases,
  ...conversionCases,
  ...changeCases,
  ...snapshotCases,
  ...copyCases,
  ...transferCases,
  ...fileCases,
  ...folderCases,
  ...inventoryCases,
  ...planCases,
  ...operationCases,
  ...retryCases,
  ...limitCases,
  ...numberCases,
  ...hostileCases,
  ...authorisationCases,
  ...crashCases,
];
