import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { breathe } from '../../../domain/model/async.js';
import {
  METRICS,
  type CounterName,
  type HistogramName,
  type LabelsOf,
  type MetricName,
  type PlainName,
} from './metric-table.js';

/** A series and its value now. */
export type Sample<Name extends MetricName> = readonly [labels: LabelsOf<Name>, value: number];
type AnySample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** Then others have their turn before the next metric is put into words. */
const MOST_HELD_MS = 2;

/** promtool objects to their names: gauges that end as counters do. */
const NO_COUNTERS = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/**
 * What the daemon counts, by the table of metrics. Counting costs the main thread one look into a
 * map; a scrape reads what is known and waits for nothing.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #counters = new Map<MetricName, Counter>();
  readonly #histograms = new Map<MetricName, Histogram>();
  readonly #sources = new Map<MetricName, () => Iterable<AnySample>>();
  readonly #before: (() => void)[] = [];

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    for (const name of NO_COUNTERS) this.registry.removeSingleMetric(name);
    for (const name of namesOf(METRICS)) this.#register(name);
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** The text for Prometheus. */
  async text(): Promise<string> {
    for (const act of this.#before) act();
    const parts: string[] = [];
    let begun = performance.now();
    for (const { name } of this.registry.getMetricsAsArray()) {
      parts.push(await this.registry.getSingleMetricAsString(name));
      if (performance.now() - begun < MOST_HELD_MS) continue;
      await breathe();
      begun = performance.now();
    }
    return `${parts.join('\n\n')}\n`;
  }

  add<Name extends CounterName>(name: Name, labels: LabelsOf<Name>, by = 1): void {
    this.#counters.get(name)?.inc({ ...labels }, by);
  }

  observe<Name extends HistogramName>(name: Name, labels: LabelsOf<Name>, seconds: number): void {
    this.#histograms.get(name)?.observe({ ...labels }, seconds);
  }

  /** Makes the series exist, at 0. */
  zero<Name extends CounterName | HistogramName>(name: Name, labels: LabelsOf<Name>): void {
    this.#counters.get(name)?.inc({ ...labels }, 0);
    this.#histograms.get(name)?.zero({ ...labels });
  }

  /** Where the values of a metric come from at each scrape: all its series, now. */
  read<Name extends Exclude<MetricName, HistogramName>>(name: Name, source: () => Iterable<Sample<Name>>): void {
    this.#sources.set(name, source);
  }

  /** The same for a metric without labels. */
  readOne(name: Exclude<PlainName, HistogramName>, value: () => number): void {
    this.#sources.set(name, () => [[{}, value()]]);
  }

  /** Called at each scrape before anything is read. */
  beforeScrape(act: () => void): void {
    this.#before.push(act);
  }

  #register(name: MetricName): void {
    const row = METRICS[name];
    const common = { name, help: row.help, labelNames: [...row.labels], registers: [this.registry] };
    const samples = () => this.#sources.get(name)?.();
    if (row.kind === 'histogram') {
      this.#histograms.set(name, new Histogram({ ...common, buckets: [...row.buckets] }));
    } else if (row.kind === 'gauge') {
      const gauge: Gauge = new Gauge({
        ...common,
        collect() {
          const now = samples();
          if (now === undefined) return;
          gauge.reset();
          for (const [labels, value] of now) gauge.set({ ...labels }, value);
        },
      });
    } else {
      const counter: Counter = new Counter({
        ...common,
        collect() {
          const now = samples();
          if (now === undefined) return;
          counter.reset();
          for (const [labels, value] of now) counter.inc({ ...labels }, value);
        },
      });
      this.#counters.set(name, counter);
    }
  }
}

function namesOf<T extends object>(table: T): (keyof T)[] {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- the keys of a constant table
  return Object.keys(table) as (keyof T)[];
}
