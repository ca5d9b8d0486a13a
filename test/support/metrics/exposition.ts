/** What a daemon exports, read as Prometheus reads it. */

interface Series {
  /** Of the line, such as with `_bucket`. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The text of `/metrics`. */
export class Exposition {
  /** The kind of each metric. */
  readonly kinds = new Map<string, string>();
  readonly series: readonly Series[];

  constructor(text: string) {
    const lines = text.split('\n');
    for (const line of lines) {
      const [, name = '', kind = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
      if (name !== '') this.kinds.set(name, kind);
    }
    this.series = lines.filter((line) => line !== '' && !line.startsWith('#')).map(parse);
  }

  /** The value of one series; undefined where there is none with these labels. Others may differ. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    return this.all(name, labels)[0]?.value;
  }

  /** All series of a name with these labels. */
  all(name: string, labels: Readonly<Record<string, string>> = {}): readonly Series[] {
    return this.series.filter(
      (each) => each.name === name && Object.entries(labels).every(([label, value]) => each.labels[label] === value),
    );
  }

  /** Labels by which a metric has series; of a histogram without `le`. */
  labelsOf(metric: string): readonly string[] {
    const own = this.series.filter(({ name }) => baseOf(name, this.kinds) === metric);
    return [...new Set(own.flatMap(({ labels }) => Object.keys(labels)))].filter((label) => label !== 'le').sort();
  }
}

/** The metric of a line. */
export function baseOf(name: string, kinds: ReadonlyMap<string, string>): string {
  const base = name.replace(/_(?:bucket|sum|count)$/, '');
  return kinds.get(base) === 'histogram' ? base : name;
}

function parse(line: string): Series {
  const [, name = '', words = '', value = ''] = /^([a-zA-Z_:]\w*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === '') throw new Error(`no series: ${line}`);
  const labels = Object.fromEntries(
    [...words.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', text = '']) => [label, text]),
  );
  return { name, labels, value: Number(value) };
}
