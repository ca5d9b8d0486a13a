/** Types that make an unmapped field a compile error. */

/**
 * A message with all fields required, including optional ones: a new field does not compile until
 * it is mapped.
 */
export type Whole<Message> = { readonly [Field in keyof Required<Message>]: Message[Field] };

/**
 * A message whose source has no field `Lost`; otherwise a sentence that no value has as its type.
 */
export type Mapped<Message, Lost, Sentence extends string = 'is in no message'> = [Lost] extends [never]
  ? Message
  : `${Lost & string} ${Sentence}`;
