import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { FileDescriptorProtoSchema, type DescriptorProto, type FileDescriptorProto } from '@bufbuild/protobuf/wkt';

interface File {
  readonly bytes: Uint8Array;
  readonly imports: readonly string[];
}

/** Field 1 of google.protobuf.FileDescriptorSet, length-delimited: one file. */
const FILE_TAG = 10;

/** Files of a descriptor set, as their raw bytes, by name and by the symbols that they define. */
export class DescriptorIndex {
  readonly #files = new Map<string, File>();
  readonly #symbols = new Map<string, string>();

  constructor(set: Uint8Array) {
    const reader = new BinaryReader(set);
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if (tag !== FILE_TAG) throw new Error(`the descriptor set has an unknown tag ${String(tag)}`);
      const bytes = reader.bytes();
      const file = fromBinary(FileDescriptorProtoSchema, bytes);
      this.#files.set(file.name, { bytes, imports: file.dependency });
      for (const symbol of symbolsOf(file)) this.#symbols.set(symbol, file.name);
    }
  }

  fileOfSymbol(symbol: string): string | undefined {
    return this.#symbols.get(symbol);
  }

  /** The file and all its imports, each once; empty if no file has that name. */
  withImports(name: string | undefined): Uint8Array[] {
    const found = new Map<string, Uint8Array>();
    const visit = (current: string): void => {
      const file = this.#files.get(current);
      if (file === undefined || found.has(current)) return;
      found.set(current, file.bytes);
      file.imports.forEach(visit);
    };
    if (name !== undefined) visit(name);
    return [...found.values()];
  }
}

function symbolsOf(file: FileDescriptorProto): string[] {
  const prefix = file.package === '' ? '' : `${file.package}.`;
  const services = file.service.flatMap(({ name, method }) => [
    `${prefix}${name}`,
    ...method.map((each) => `${prefix}${name}.${each.name}`),
  ]);
  return [
    ...services,
    ...file.messageType.flatMap((message) => messageSymbols(message, prefix)),
    ...file.enumType.map(({ name }) => `${prefix}${name}`),
  ];
}

function messageSymbols(message: DescriptorProto, prefix: string): string[] {
  const name = `${prefix}${message.name}`;
  return [
    name,
    ...message.nestedType.flatMap((nested) => messageSymbols(nested, `${name}.`)),
    ...message.enumType.map((each) => `${name}.${each.name}`),
  ];
}
