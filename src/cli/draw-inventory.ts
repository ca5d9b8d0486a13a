/** The inventory of a root for people. */
import { posix } from 'node:path';

export interface TreeImage {
  readonly path: string;
  /** Of the image that it is backed by. */
  readonly base: string | undefined;
  /** What is shown of it. */
  readonly text: string;
}

/**
 * Images below those that they are backed by. What is backed by something that is not here stands
 * at the top, with its name; so does one of each circle.
 */
export function drawTree(images: readonly TreeImage[]): string {
  const here = new Set(images.map(({ path }) => path));
  const above = Map.groupBy(images, ({ base }) => (base !== undefined && here.has(base) ? base : ''));
  const drawn = new Set<string>();
  const lines: string[] = [];
  const draw = (top: TreeImage, note: string) => {
    const left = [{ image: top, line: '', indent: '' }];
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const { image, line, indent } = next;
      if (drawn.has(image.path)) continue;
      drawn.add(image.path);
      lines.push(`${line}${image.text}${image === top ? note : ''}`);
      const overlays = above.get(image.path) ?? [];
      const last = overlays.length - 1;
      const below = overlays.map((overlay, index) => ({
        image: overlay,
        line: `${indent}${index === last ? '└── ' : '├── '}`,
        indent: `${indent}${index === last ? '    ' : '│   '}`,
      }));
      left.push(...below.reverse());
    }
  };
  for (const image of above.get('') ?? []) draw(image, image.base === undefined ? '' : ` on ${image.base}, not here`);
  for (const image of images) if (!drawn.has(image.path)) draw(image, ' in a circle');
  return lines.join('\n');
}

export interface Sum {
  readonly folder: string;
  readonly count: number;
  readonly allocated: bigint;
}

/** What the images below each folder of `path` take, those in it as `.`; the largest first. */
export function sumsOf(path: string, images: readonly { path: string; allocatedBytes: bigint }[]): Sum[] {
  const folderOf = (image: string) => {
    const [first = '', ...rest] = posix.relative(path, image).split('/');
    return rest.length === 0 ? '.' : first;
  };
  const folders = Map.groupBy(images, (image) => folderOf(image.path));
  const sums = [...folders].map(([folder, inside]) => ({
    folder,
    count: inside.length,
    allocated: inside.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0n),
  }));
  return sums.sort((a, b) => (a.allocated === b.allocated ? 0 : a.allocated > b.allocated ? -1 : 1));
}
