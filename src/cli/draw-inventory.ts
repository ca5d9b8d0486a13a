/** The inventory of a root for people. */
import { posix } from 'node:path';

export interface TreeImage {
  readonly path: string;
  /** The image's backing file. */
  readonly base: string | undefined;
  /** The text that is shown for it. */
  readonly text: string;
}

/**
 * Images below their backing files. An image whose backing file is not in the list is at the top,
 * with that file's name; so is one image of each circle.
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

/**
 * The allocated bytes of images below each folder of `path`, those directly in it as `.`; the
 * largest first.
 */
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
