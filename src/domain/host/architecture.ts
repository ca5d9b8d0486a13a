import { invalidFields } from '../model/errors.js';

const CANONICAL: readonly string[] =
  'alpha armv6 armv7l armv7b aarch64 cris i686 ia64 lm32 m68k microblaze microblazeel mips mipsel mips64 mips64el openrisc parisc parisc64 ppc ppcle ppc64 ppc64le ppcemb s390 s390x sh4 sh4eb sparc sparc64 unicore32 x86_64 xtensa xtensaeb riscv64 loongarch64'.split(
    ' ',
  );

const ALIASES: Readonly<Record<string, string>> = {
  i386: 'i686',
  i486: 'i686',
  i586: 'i686',
  x86_32: 'i686',
  x86_32p: 'i686',
  amd64: 'x86_64',
  arm64: 'aarch64',
  ppc64el: 'ppc64le',
};

/** The canonical name of an architecture. Fails with INVALID_FIELD. */
export function canonicalArchitecture(name: string): string {
  const lower = name.toLowerCase();
  const canonical = new Map(Object.entries(ALIASES)).get(lower) ?? lower;
  if (CANONICAL.includes(canonical)) return canonical;
  throw invalidFields([
    { field: 'image_architecture', description: `unknown architecture; one of ${CANONICAL.join(', ')}` },
  ]);
}
