/** Which RPC and which message is on which page. */
import type { DescEnum, DescMessage } from '@bufbuild/protobuf';

export interface ServicePage {
  /** The file's, without `.md`. */
  readonly name: string;
  readonly title: string;
  readonly service: string;
  /** By their short names, in order. */
  readonly rpcs: readonly string[];
}

const page = (name: string, title: string, service: string, ...rpcs: readonly string[]): ServicePage => ({
  name,
  title,
  service,
  rpcs,
});

const IMAGES = 'ImageService';
const HOST = 'HostInfoService';

export const SERVICE_PAGES: readonly ServicePage[] = [
  page(
    'images-look',
    'Looking at images',
    IMAGES,
    ...['GetImageInfo', 'DetectDiskType', 'FindRootDisk', 'MapImage', 'MeasureImage'],
  ),
  page(
    'images-make',
    'Making and converting images',
    IMAGES,
    ...['CreateImage', 'CreateOverlay', 'ConvertImage', 'ExtractSnapshot'],
  ),
  page('images-copy', 'Copying images', IMAGES, 'CopyImage', 'OpenExport', 'CloseExport'),
  page('images-fetch', 'Fetching images', IMAGES, 'FetchImage', 'FetchRawImage'),
  page(
    'images-change',
    'Changing and removing images',
    IMAGES,
    ...['ResizeImage', 'RebaseImage', 'CommitImage', 'WipeImage', 'DeleteImage'],
  ),
  page('images-check', 'Checking and comparing images', IMAGES, 'CheckImage', 'DigestImage', 'CompareImages'),
  page(
    'images-snapshots',
    'Snapshots inside images',
    IMAGES,
    ...['CreateSnapshot', 'DeleteSnapshot', 'RevertSnapshot', 'ListSnapshots'],
  ),
  page('images-stream', 'Uploads and downloads', IMAGES, 'StartUpload', 'UploadImage', 'DownloadImage'),
  page(
    'images-cache',
    'The image cache',
    IMAGES,
    ...['ListCachedImages', 'PinCachedImage', 'PrefetchImage', 'EvictCachedImages'],
  ),
  page(
    'files',
    'Files',
    'FileService',
    ...['Chown', 'ChownForIdMaps', 'DeleteFile', 'StatFile', 'TouchFile', 'ReadFile', 'WriteFile'],
  ),
  page('host', 'The host and its space', HOST, 'GetHostInfo', 'GetFilesystemInfo', 'GetPoolInfo', 'WatchFilesystem'),
  page(
    'host-names',
    'Names, mounts and folders of the host',
    HOST,
    ...['GetArchitecture', 'GetIscsiInitiator', 'IsMounted', 'ValidateHostname'],
    ...['PickDiskDriverName', 'GetInstancePath', 'GetInstancePathAtDestination'],
  ),
  page('commands', 'Commands', 'CommandService', 'Execute'),
  page(
    'operations',
    'Operations',
    'OperationService',
    ...['GetOperation', 'ListOperations', 'WatchOperation', 'WatchOperations', 'CancelOperation'],
  ),
];

/** The page of a message or enum that is no request or answer; results have pages of their own. */
export function messagesPage({ name, file }: DescMessage | DescEnum): string {
  const what = name.endsWith('Result') ? 'results' : 'messages';
  return `${what}-${file.name.replace('hostler/v1/', '').replaceAll('_', '-')}`;
}
