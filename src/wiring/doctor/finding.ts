/** One thing that the doctor has looked at. */
export interface HostFinding {
  /** What it belongs to: `config`, `tools`, `sandbox`, `roots`, `limits`, `clock`, `tls`. */
  readonly check: string;
  /** `note`: nothing is wrong, but something is slower or cannot be done. */
  readonly state: 'ok' | 'note' | 'problem';
  readonly says: string;
  /** How to put it right. */
  readonly mend?: string;
}

/** Nothing is wrong with it. */
export function fine(check: string, says: string): HostFinding {
  return { check, state: 'ok', says };
}

/** Something that is worth to know. */
export function note(check: string, says: string, mend?: string): HostFinding {
  return { check, state: 'note', says, ...(mend === undefined ? {} : { mend }) };
}

/** Something that keeps work from being done. */
export function problem(check: string, says: string, mend: string): HostFinding {
  return { check, state: 'problem', says, mend };
}

/** Findings as lines for people. */
export function textOf(findings: readonly HostFinding[]): string {
  return findings
    .map(({ check, state, says, mend }) => {
      const line = `${state.padEnd(7)}  ${check.padEnd(7)}  ${says}\n`;
      return mend === undefined ? line : `${line}${' '.repeat(18)}mend: ${mend}\n`;
    })
    .join('');
}
