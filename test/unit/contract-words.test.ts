/**
 * Names of the contract are names in every language that code is generated for: no reserved word
 * that a generator must spell in another way, or that its users must write with an escape.
 */
import assert from 'node:assert/strict';
import { contractNames } from '../support/descriptors.js';

const RESERVED = {
  Python: `False None True and as assert async await break class continue def del elif else except finally for from
    global if import in is lambda nonlocal not or pass raise return try while with yield`,
  'C++': `alignas alignof and asm auto bitand bitor bool break case catch char class compl concept const consteval
    constexpr constinit continue decltype default delete do double else enum explicit export extern false float for
    friend goto if inline int linux long mutable namespace new noexcept not nullptr operator or private protected
    public register requires return short signed sizeof static struct switch template this throw true try typedef
    typeid typename union unix unsigned using virtual void volatile while xor`,
  Java: `abstract assert boolean break byte case catch char class const continue default do double else enum extends
    final finally float for goto if implements import instanceof int interface long native new package private
    protected public return short static super switch synchronized this throw throws transient try void volatile while`,
  JavaScript: `arguments await break case catch class const constructor continue debugger default delete do else enum
    eval export extends false finally for function if implements import in instanceof interface let new null package
    private protected public return static super switch this throw true try typeof var void while with yield`,
  Go: `break case chan const continue default defer else fallthrough for func go goto if import interface map package
    range return select struct switch type var`,
  Rust: `abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if
    impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try
    type typeof unsafe unsized use virtual where while yield`,
} as const;

describe('names of the contract', () => {
  for (const [language, text] of Object.entries(RESERVED))
    it(`are no reserved words of ${language}`, () => {
      const words = new Set(text.split(/\s+/));
      assert.deepEqual(
        contractNames().filter((name) => words.has(name.split('.').at(-1) ?? '')),
        [],
      );
    });
});
