/** Types with which a field that is not mapped does not compile. */

/**
 * A message with each of its fields named, also those that may be unset: one that is new does not
 * compile until it is mapped.
 */
export type Whole<Message> = { readonly [Field in keyof Required<Message>]: Message[Field] };

/** A message whose source has no field `Lost`; with one, a sentence that no value is. */
export type Mapped<Message, Lost, Sentence extends string = 'is in no message'> = [Lost] extends [never]
  ? Message
  : `${Lost & string} ${Sentence}`;
