/** The dashboard and the alert rules of packaging/: what they ask Prometheus for. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../daemon.js';

export const RULES_FILE = join(ROOT_FOLDER, 'packaging/prometheus/hostler.rules.yml');
export const RULES_TEST_FILE = join(ROOT_FOLDER, 'packaging/prometheus/hostler.rules.test.yml');
export const DASHBOARD_FILE = join(ROOT_FOLDER, 'packaging/grafana/hostler.json');

/** A question, and where it stands. */
export interface Query {
  readonly title: string;
  readonly expr: string;
}

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] };
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: string }[] };
}

function dashboard(): Dashboard {
  return JSON.parse(readFileSync(DASHBOARD_FILE, 'utf8')) as Dashboard;
}

/** Every query of the dashboard's panels. */
export function panelQueries(): readonly Query[] {
  return dashboard().panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
}

/** Queries of its annotations and variables. */
export function otherQueries(): readonly Query[] {
  const { annotations, templating } = dashboard();
  const variables = templating.list.flatMap(({ name, query }) => {
    const [, selector] = /^label_values\((.*), \w+\)$/.exec(query) ?? [];
    return selector === undefined ? [] : [{ title: name, expr: selector }];
  });
  return [...annotations.list.map(({ name, expr }) => ({ title: name, expr })), ...variables];
}

/** Labels that the legends of the panels show. */
export function legendLabels(): readonly string[] {
  const legends = dashboard().panels.flatMap(({ targets = [] }) =>
    targets.map(({ legendFormat = '' }) => legendFormat),
  );
  return legends.flatMap((legend) => [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label));
}

/** Every alert. */
export function alerts(): readonly Query[] {
  const text = readFileSync(RULES_FILE, 'utf8');
  return [...text.matchAll(/- alert: (\w+)\n\s+expr: (.+)\n/g)].map(([, title = '', expr = '']) => ({ title, expr }));
}

/** The query as Grafana would send it, for everything that a Prometheus has under a job. */
export function expanded(expr: string, job: string): string {
  return expr.replaceAll('$__rate_interval', '15s').replaceAll('$job', job).replaceAll('$instance', '.*');
}

/** Names of metrics in a query, without what Prometheus adds to those of histograms. */
export function metricsIn(expr: string): readonly string[] {
  return [...withoutTexts(expr).matchAll(/\b(?:hostler|nodejs|process)_\w+|\bup\b/g)].map(([name]) =>
    name.replace(/_(?:bucket|count|sum)$/, ''),
  );
}

/** Names of labels in its selectors, and those that it groups by. */
export function labelsIn(expr: string): readonly string[] {
  const plain = withoutTexts(expr);
  const selected = [...plain.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*""/g)].map(([, label = '']) => label);
  const grouped = [...plain.matchAll(/\b(?:by|on|without)\s*\(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(/,\s*/),
  );
  return [...new Set([...selected, ...grouped])];
}

function withoutTexts(expr: string): string {
  return expr.replaceAll(/"[^"]*"/g, '""');
}
