/** The contract of Hostler with its comments, from the file that `buf build` writes. */
import {
  createFileRegistry,
  fromBinary,
  type DescEnum,
  type DescEnumValue,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescOneof,
  type DescService,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

type Described = DescFile | DescMessage | DescField | DescOneof | DescEnum | DescEnumValue | DescService | DescMethod;

/** The field of FileDescriptorProto that holds the syntax: a comment before it is the file's. */
const SYNTAX_OF_FILE = 12;

/** The files of the package hostler.v1, by name. */
export function hostlerFiles(descriptors: Uint8Array): DescFile[] {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
  return [...registry.files]
    .filter(({ proto }) => proto.package === 'hostler.v1')
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The lines before it in its file, without `//`; empty: it has none. */
export function commentOf(described: Described): string {
  const path = pathOf(described).join();
  const places = fileOf(described).proto.sourceCodeInfo?.location ?? [];
  return places.find((place) => place.path.join() === path)?.leadingComments ?? '';
}

function fileOf(described: Described): DescFile {
  switch (described.kind) {
    case 'file':
      return described;
    case 'rpc':
    case 'field':
    case 'oneof':
    case 'enum_value':
      return described.parent.file;
    case 'enum':
    case 'message':
    case 'service':
      return described.file;
  }
}

/** Field numbers and places of descriptor.proto that lead to it. None of our messages is in another. */
function pathOf(described: Described): number[] {
  switch (described.kind) {
    case 'file':
      return [SYNTAX_OF_FILE];
    case 'message':
      return [4, described.file.messages.indexOf(described)];
    case 'field':
      return [...pathOf(described.parent), 2, described.parent.fields.indexOf(described)];
    case 'oneof':
      return [...pathOf(described.parent), 8, described.parent.oneofs.indexOf(described)];
    case 'enum':
      return [5, described.file.enums.indexOf(described)];
    case 'enum_value':
      return [...pathOf(described.parent), 2, described.parent.values.indexOf(described)];
    case 'service':
      return [6, described.file.services.indexOf(described)];
    case 'rpc':
      return [...pathOf(described.parent), 2, described.parent.methods.indexOf(described)];
  }
}
