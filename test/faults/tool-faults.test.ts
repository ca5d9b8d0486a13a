/**
 * The long form of test/system/life/tool-faults.test.ts: every verb and every kind of call, once
 * and from then on.
 */
import { describeToolFaults } from '../support/faults/tool-faults.js';

const kinds = [['fsync'], ['write'], ['open', 'create'], ['truncate', 'fallocate'], ['read']] as const;

describeToolFaults('the n-th call fails', { kinds });
describeToolFaults('all calls from the n-th on fail', { kinds, times: 0 });
