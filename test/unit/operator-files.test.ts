/**
 * The dashboard and the alert rules ask for what the daemon exports. That the table of metrics is
 * what it exports is seen in test/system/metrics; that the queries find data, in test/metrics.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { METRICS, NODE_METRICS } from '../../src/adapters/telemetry/metrics/metric-table.js';
import { ENGINES, OUTCOMES, RESULTS, SLOTS } from '../../src/adapters/telemetry/metrics/label-values.js';
import { isReason } from '../../src/domain/model/reasons/reasons.js';
import {
  RULES_FILE,
  RULES_TEST_FILE,
  alerts,
  labelsIn,
  legendLabels,
  metricsIn,
  otherQueries,
  panelQueries,
  type Query,
} from '../support/metrics/operator-files.js';

/** What Prometheus adds: to every series, and to those of histograms. */
const ADDED = ['job', 'instance', 'le'];

/** Values that queries name, for labels of which all values are known. */
const VALUES: Readonly<Record<string, (value: string) => boolean>> = {
  result: (value) => RESULTS.some((each) => each === value),
  outcome: (value) => OUTCOMES.some((each) => each === value),
  slot: (value) => SLOTS.some((each) => each === value),
  engine: (value) => ENGINES.includes(value),
  reason: isReason,
};

function assertAnswerable({ title, expr }: Query): void {
  const names = metricsIn(expr);
  assert.ok(names.length > 0, `${title}: ${expr} names no metric`);
  const exported: Record<string, { readonly labels: readonly string[] }> = METRICS;
  for (const name of names)
    assert.ok(
      name === 'up' || Object.hasOwn(NODE_METRICS, name) || Object.hasOwn(METRICS, name),
      `${title}: no metric ${name}`,
    );
  const labels = [...ADDED, ...names.flatMap((name) => exported[name]?.labels ?? [])];
  for (const label of labelsIn(expr)) assert.ok(labels.includes(label), `${title}: no label ${label} in ${expr}`);
  for (const [, label = '', values = ''] of expr.matchAll(/(\w+)=~?"([^"$]*)"/g))
    for (const value of values.split('|')) assert.ok(VALUES[label]?.(value) ?? true, `${title}: ${label}=${value}`);
}

describe('the dashboard', () => {
  for (const query of [...panelQueries(), ...otherQueries()])
    it(`${query.title}: ${query.expr}`, () => assertAnswerable(query));

  it('shows every metric', () => {
    const shown = new Set([...panelQueries(), ...otherQueries()].flatMap(({ expr }) => metricsIn(expr)));
    assert.deepEqual(
      Object.keys(METRICS).filter((name) => !shown.has(name)),
      // Numbers to which the bytes beside them say more.
      [
        'hostler_cache_use_bytes_total',
        'hostler_cache_evicted_bytes_total',
        'hostler_cache_set_aside_files',
        'hostler_resume_entries',
        'hostler_foreign_folders',
      ],
    );
  });

  it('has legends of labels that are there', () => {
    const known = [...ADDED, ...Object.values(METRICS).flatMap(({ labels }) => [...labels])];
    for (const label of legendLabels()) assert.ok(known.includes(label), label);
  });
});

describe('the alert rules', () => {
  for (const alert of alerts()) it(alert.title, () => assertAnswerable(alert));

  it('are each fired by a test of the rules, with series that are exported', () => {
    const text = readFileSync(RULES_TEST_FILE, 'utf8');
    const fired = [...text.matchAll(/labels: '\{alertname="(\w+)"\}'/g)].map(([, name]) => name);
    assert.deepEqual(
      fired,
      alerts()
        .map(({ title }) => title)
        .sort(),
    );
    const series = [...text.matchAll(/- series: '(.*)'/g)].map(([, expr = '']) => ({ title: expr, expr }));
    assert.ok(series.length > alerts().length);
    for (const each of series) assertAnswerable(each);
  });

  it('say what is wrong and what to do', () => {
    const text = readFileSync(RULES_FILE, 'utf8');
    for (const word of ['severity: (?:critical|warning)', 'summary: \\S', 'description: \\S'])
      assert.equal(text.match(new RegExp(word, 'g'))?.length, alerts().length, word);
  });
});
