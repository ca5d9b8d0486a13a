/** The RPCs of ImageService. */
import {
  ImageServiceService,
  BatchGetImageInfoRequest,
  CheckImageRequest,
  CloseExportRequest,
  CommitImageRequest,
  CompareImagesRequest,
  ConvertImageRequest,
  CopyImageRequest,
  CreateImageRequest,
  CreateOverlayRequest,
  CreateSnapshotRequest,
  DeleteImageRequest,
  DeleteSnapshotRequest,
  DetectDiskTypeRequest,
  DigestImageRequest,
  DownloadImageRequest,
  ExtractSnapshotRequest,
  FetchImageRequest,
  FetchRawImageRequest,
  FindRootDiskRequest,
  GetImageInfoRequest,
  ListCachedImagesRequest,
  ListImagesRequest,
  ListSnapshotsRequest,
  MapImageRequest,
  MeasureImageRequest,
  RebaseImageRequest,
  ResizeImageRequest,
  RevertSnapshotRequest,
  StartUploadRequest,
  UploadImageRequest,
  WatchImagesRequest,
  WipeImageRequest,
  type DeepPartial,
} from '../../src/gen/hostler/v1/image_service.js';
import { rpc } from './rpc.js';

export const getImageInfo = rpc(ImageServiceService.getImageInfo, (fields: DeepPartial<GetImageInfoRequest>) =>
  GetImageInfoRequest.fromPartial(fields),
);
export const detectDiskType = rpc(ImageServiceService.detectDiskType, (fields: DeepPartial<DetectDiskTypeRequest>) =>
  DetectDiskTypeRequest.fromPartial(fields),
);
export const findRootDisk = rpc(ImageServiceService.findRootDisk, (fields: DeepPartial<FindRootDiskRequest>) =>
  FindRootDiskRequest.fromPartial(fields),
);
export const mapImage = rpc(ImageServiceService.mapImage, (fields: DeepPartial<MapImageRequest>) =>
  MapImageRequest.fromPartial(fields),
);
export const measureImage = rpc(ImageServiceService.measureImage, (fields: DeepPartial<MeasureImageRequest>) =>
  MeasureImageRequest.fromPartial(fields),
);
export const batchGetImageInfo = rpc(
  ImageServiceService.batchGetImageInfo,
  (fields: DeepPartial<BatchGetImageInfoRequest>) => BatchGetImageInfoRequest.fromPartial(fields),
);
export const listImages = rpc(ImageServiceService.listImages, (fields: DeepPartial<ListImagesRequest>) =>
  ListImagesRequest.fromPartial(fields),
);
export const watchImages = rpc(ImageServiceService.watchImages, (fields: DeepPartial<WatchImagesRequest>) =>
  WatchImagesRequest.fromPartial(fields),
);
export const createImage = rpc(ImageServiceService.createImage, (fields: DeepPartial<CreateImageRequest>) =>
  CreateImageRequest.fromPartial(fields),
);
export const createOverlay = rpc(ImageServiceService.createOverlay, (fields: DeepPartial<CreateOverlayRequest>) =>
  CreateOverlayRequest.fromPartial(fields),
);
export const convertImage = rpc(ImageServiceService.convertImage, (fields: DeepPartial<ConvertImageRequest>) =>
  ConvertImageRequest.fromPartial(fields),
);
export const extractSnapshot = rpc(ImageServiceService.extractSnapshot, (fields: DeepPartial<ExtractSnapshotRequest>) =>
  ExtractSnapshotRequest.fromPartial(fields),
);
export const copyImage = rpc(ImageServiceService.copyImage, (fields: DeepPartial<CopyImageRequest>) =>
  CopyImageRequest.fromPartial(fields),
);
export const fetchImage = rpc(ImageServiceService.fetchImage, (fields: DeepPartial<FetchImageRequest>) =>
  FetchImageRequest.fromPartial(fields),
);
export const fetchRawImage = rpc(ImageServiceService.fetchRawImage, (fields: DeepPartial<FetchRawImageRequest>) =>
  FetchRawImageRequest.fromPartial(fields),
);
export const resizeImage = rpc(ImageServiceService.resizeImage, (fields: DeepPartial<ResizeImageRequest>) =>
  ResizeImageRequest.fromPartial(fields),
);
export const rebaseImage = rpc(ImageServiceService.rebaseImage, (fields: DeepPartial<RebaseImageRequest>) =>
  RebaseImageRequest.fromPartial(fields),
);
export const commitImage = rpc(ImageServiceService.commitImage, (fields: DeepPartial<CommitImageRequest>) =>
  CommitImageRequest.fromPartial(fields),
);
export const wipeImage = rpc(ImageServiceService.wipeImage, (fields: DeepPartial<WipeImageRequest>) =>
  WipeImageRequest.fromPartial(fields),
);
export const deleteImage = rpc(ImageServiceService.deleteImage, (fields: DeepPartial<DeleteImageRequest>) =>
  DeleteImageRequest.fromPartial(fields),
);
export const checkImage = rpc(ImageServiceService.checkImage, (fields: DeepPartial<CheckImageRequest>) =>
  CheckImageRequest.fromPartial(fields),
);
export const digestImage = rpc(ImageServiceService.digestImage, (fields: DeepPartial<DigestImageRequest>) =>
  DigestImageRequest.fromPartial(fields),
);
export const compareImages = rpc(ImageServiceService.compareImages, (fields: DeepPartial<CompareImagesRequest>) =>
  CompareImagesRequest.fromPartial(fields),
);
export const createSnapshot = rpc(ImageServiceService.createSnapshot, (fields: DeepPartial<CreateSnapshotRequest>) =>
  CreateSnapshotRequest.fromPartial(fields),
);
export const deleteSnapshot = rpc(ImageServiceService.deleteSnapshot, (fields: DeepPartial<DeleteSnapshotRequest>) =>
  DeleteSnapshotRequest.fromPartial(fields),
);
export const revertSnapshot = rpc(ImageServiceService.revertSnapshot, (fields: DeepPartial<RevertSnapshotRequest>) =>
  RevertSnapshotRequest.fromPartial(fields),
);
export const listSnapshots = rpc(ImageServiceService.listSnapshots, (fields: DeepPartial<ListSnapshotsRequest>) =>
  ListSnapshotsRequest.fromPartial(fields),
);
export const startUpload = rpc(ImageServiceService.startUpload, (fields: DeepPartial<StartUploadRequest>) =>
  StartUploadRequest.fromPartial(fields),
);
export const uploadImage = rpc(ImageServiceService.uploadImage, (fields: DeepPartial<UploadImageRequest>) =>
  UploadImageRequest.fromPartial(fields),
);
export const downloadImage = rpc(ImageServiceService.downloadImage, (fields: DeepPartial<DownloadImageRequest>) =>
  DownloadImageRequest.fromPartial(fields),
);
export const listCachedImages = rpc(
  ImageServiceService.listCachedImages,
  (fields: DeepPartial<ListCachedImagesRequest>) => ListCachedImagesRequest.fromPartial(fields),
);
export const closeExport = rpc(ImageServiceService.closeExport, (fields: DeepPartial<CloseExportRequest>) =>
  CloseExportRequest.fromPartial(fields),
);
