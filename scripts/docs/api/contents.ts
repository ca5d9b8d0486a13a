/** Which RPC and which message is on which page. */
import type { DescEnum, DescMessage, DescMethod, DescService } from '@bufbuild/protobuf';

export interface ServicePage {
  /** The file's, without `.md`. */
  readonly name: string;
  readonly title: string;
  /** In the order of the contract. */
  readonly rpcs: readonly DescMethod[];
}

/** A page begins with this RPC and goes on to the next page's, or to the end of the service. */
const PAGES: Readonly<Record<string, Omit<ServicePage, 'rpcs'>>> = {
  GetImageInfo: { name: 'images-look', title: 'Looking at images' },
  BatchGetImageInfo: { name: 'images-inventory', title: 'Many images and their changes' },
  CreateImage: { name: 'images-make', title: 'Making and converting images' },
  CopyImage: { name: 'images-copy', title: 'Copying images' },
  FetchImage: { name: 'images-fetch', title: 'Fetching images' },
  ResizeImage: { name: 'images-change', title: 'Changing and removing images' },
  CheckImage: { name: 'images-check', title: 'Checking and comparing images, and snapshots' },
  StartUpload: { name: 'images-stream', title: 'Uploads and downloads' },
  ListCachedImages: { name: 'images-cache', title: 'The image cache' },
  Chown: { name: 'files', title: 'Files' },
  CreateDirectory: { name: 'folders', title: 'Folders and names' },
  GetHostInfo: { name: 'host', title: 'The host and its space' },
  GetArchitecture: { name: 'host-names', title: 'Names, mounts and folders of the host' },
  Execute: { name: 'commands', title: 'Commands' },
  GetOperation: { name: 'operations', title: 'Operations' },
};

/** A service's pages. Fails where its first RPC begins none. */
export function pagesOf(service: DescService): readonly ServicePage[] {
  const pages: (ServicePage & { readonly rpcs: DescMethod[] })[] = [];
  for (const method of service.methods) {
    const begins = PAGES[method.name];
    if (begins !== undefined) pages.push({ ...begins, rpcs: [] });
    const page = pages.at(-1);
    if (page === undefined) throw new Error(`scripts/docs/api/contents.ts: no page begins with ${method.name}`);
    page.rpcs.push(method);
  }
  return pages;
}

/** Files whose few messages stand on the page of another file. */
const BESIDE = new Map([['operation_service', 'operation']]);

/** The page of a message or enum that is no request or answer; results have pages of their own. */
export function messagesPage({ name, file }: DescMessage | DescEnum): string {
  const what = name.endsWith('Result') ? 'results' : 'messages';
  const own = file.name.replace('hostler/v1/', '');
  return `${what}-${(BESIDE.get(own) ?? own).replaceAll('_', '-')}`;
}
