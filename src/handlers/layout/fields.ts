/** The layout fields of every request that creates an image. */
import * as z from 'zod';
import { traits, type ImageFormat } from '../../domain/model/image-format.js';
import { layoutProblems } from '../../domain/model/image-layout.js';
import { clusterSize, defined } from '../fields.js';

/** For an image that is always qcow2. */
export const qcow2Layout = {
  compat: z.enum(['0.10', '1.1'], 'must be 0.10 or 1.1').optional(),
  refcountBits: z
    .number()
    .refine((bits) => [1, 2, 4, 8, 16, 32, 64].includes(bits), 'must be a power of two from 1 to 64')
    .optional(),
  clusterSizeBytes: clusterSize,
  lazyRefcounts: z.boolean().optional(),
  extendedL2: z.boolean().optional(),
};

export const layout = { subformat: z.string().optional(), ...qcow2Layout };

export type LayoutFields = Partial<z.infer<z.ZodObject<typeof layout>>>;

/** Each field that the format does not have, or that contradicts another, is an issue. */
export function checkLayout(
  target: ImageFormat,
  request: LayoutFields & { readonly compress?: boolean; readonly compressionType?: 'zlib' | 'zstd' | undefined },
  context: z.RefinementCtx,
): void {
  const issue = (field: string, message: string) => {
    context.addIssue({ code: 'custom', path: [field], message });
  };
  for (const [field, message] of layoutProblems(target, defined(request))) issue(field, message);
  const { clusterSizeBytes: size, extendedL2 } = request;
  if (size === undefined) return;
  if (!traits(target).clusterSize) issue('clusterSizeBytes', `${target} has no choice of cluster size`);
  // Checks formats whose cluster sizes differ from qcow2's range, which the field itself allows.
  if (extendedL2 === true && size < 16_384n) issue('clusterSizeBytes', 'extended L2 needs at least 16384');
  if (target === 'qed' && size < 4096n) issue('clusterSizeBytes', 'qed needs at least 4096');
}

/** The first layout field that is given. */
export function layoutField(request: LayoutFields): string | undefined {
  const names: readonly string[] = Object.keys(layout);
  return Object.entries(request).find(([name, value]) => names.includes(name) && value !== undefined)?.[0];
}
