/** One result of the doctor. */
export interface HostFinding {
  /** The area: `config`, `tools`, `sandbox`, `roots`, `limits`, `clock`, `tls`. */
  readonly check: string;
  /** `note`: no problem, but something is slower or not supported. */
  readonly state: 'ok' | 'note' | 'problem';
  readonly says: string;
  /** How to fix it. */
  readonly mend?: string;
}

/** A finding without a problem. */
export function fine(check: string, says: string): HostFinding {
  return { check, state: 'ok', says };
}

/** A finding that is worth knowing. */
export function note(check: string, says: string, mend?: string): HostFinding {
  return { check, state: 'note', says, ...(mend === undefined ? {} : { mend }) };
}

/** A finding that prevents work. */
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
