/**
 * Each fsync fails once: a verb succeeds and has done its work, or it fails, and the same call
 * again succeeds.
 */
import { describeToolFaults } from '../../support/faults/tool-faults.js';

// All verbs and all calls: `make test-faults`.
describeToolFaults('the n-th fsync fails, of the daemon or of a tool', {
  kinds: [['fsync']],
  trials: ['flatten', 'CreateSnapshot', 'delete one of two snapshots', 'make an overlay'],
});
