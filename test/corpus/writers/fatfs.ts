/**
 * A disk with one filesystem as the firmware of cameras and boards makes it, by ChaN's FatFs:
 *   node fatfs.js IMAGE MEBIBYTES FAT|FAT32 whole|parted FILE
 * `parted`: behind a table with one partition. FILE is put into it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import * as FatFs from 'js-fatfs';

const SECTOR_BYTES = 512;
const [image = '', mebibytes = '', type = '', place = '', file = ''] = process.argv.slice(2);
const disk = Buffer.alloc(Number(mebibytes) * 1024 * 1024);

const diskio: FatFs.DiskIO = {
  initialize: () => 0,
  status: () => 0,
  read: (ff, _drive, buffer, sector, count) => {
    ff.HEAPU8.set(disk.subarray(sector * SECTOR_BYTES, (sector + count) * SECTOR_BYTES), buffer);
    return FatFs.RES_OK;
  },
  write: (ff, _drive, buffer, sector, count) => {
    disk.set(ff.HEAPU8.subarray(buffer, buffer + count * SECTOR_BYTES), sector * SECTOR_BYTES);
    return FatFs.RES_OK;
  },
  ioctl: (ff, _drive, command, buffer) => {
    if (command === FatFs.GET_SECTOR_COUNT) ff.setValue(buffer, disk.length / SECTOR_BYTES, 'i32');
    if (command === FatFs.GET_SECTOR_SIZE) ff.setValue(buffer, SECTOR_BYTES, 'i16');
    if (command === FatFs.GET_BLOCK_SIZE) ff.setValue(buffer, 1, 'i32');
    return FatFs.RES_OK;
  },
};

const ff = await FatFs.create({ diskio });
const done = (code: number) => {
  if (code !== FatFs.FR_OK) throw new Error(`FatFs: ${String(code)}`);
};
const fmt = (type === 'FAT32' ? FatFs.FM_FAT32 : FatFs.FM_FAT) | (place === 'whole' ? FatFs.FM_SFD : 0);
const [work, filesystem, handle, content] = [65_536, FatFs.sizeof_FATFS, FatFs.sizeof_FIL, 1 << 20].map((bytes) =>
  ff.malloc(bytes),
) as [number, number, number, number];
done(ff.f_mkfs('', { fmt, n_fat: 1, align: 0, n_root: 0, au_size: 0 }, work, 65_536));
done(ff.f_mount(filesystem, '', 1));
const bytes = readFileSync(file);
ff.HEAPU8.set(bytes, content);
done(ff.f_open(handle, 'file', FatFs.FA_WRITE | FatFs.FA_CREATE_ALWAYS));
done(ff.f_write(handle, content, bytes.length, work));
done(ff.f_close(handle));
writeFileSync(image, disk);
