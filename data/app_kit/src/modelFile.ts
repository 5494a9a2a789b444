/** The model on the phone: downloaded once, resumed where it broke off, taken only when its sha256 is right. */
import { MANIFEST } from './manifest';

/** What is needed of a file system; blobUtilFiles.ts has it for react-native-blob-util. */
export interface Files {
  /** Bytes of a file; null when there is none. */
  size: (path: string) => Promise<number | null>;
  /** Append what the address has from byte `from` on to the file. Throws RangeIgnored. */
  download: (url: string, path: string, from: number, onBytes: (received: number) => void) => Promise<void>;
  /** The digest in hexadecimal. */
  sha256: (path: string) => Promise<string>;
  move: (from: string, to: string) => Promise<void>;
  remove: (path: string) => Promise<void>;
}

/** The server sent the whole file where a part of it was asked for. */
export class RangeIgnored extends Error {}

export class ModelFileError extends Error {}

export interface ModelFileOptions {
  url: string;
  /** A folder that backups leave out, such as the caches or, on iOS, Library/Application Support. */
  folder: string;
  onProgress?: (share: number) => void;
  /** Broken connections in a row, without a byte between them, after which it gives up. */
  tries?: number;
  model?: { file: string; bytes: number; sha256: string };
  wait?: (milliseconds: number) => Promise<void>;
}

/**
 * The path of the model, after a download if it is not there. A file under its own name is always
 * whole and checked: while it is being loaded it is called `.part`.
 */
export async function ensureModel(files: Files, options: ModelFileOptions): Promise<string> {
  const { folder, model = MANIFEST.model } = options;
  const name = model.file.slice(model.file.lastIndexOf('/') + 1);
  const path = `${folder}/${name}`;
  if ((await files.size(path)) === model.bytes) return path;
  const part = `${path}.part`;
  await complete(files, part, options, model.bytes);
  const found = await files.sha256(part);
  if (found.toLowerCase() !== model.sha256) {
    await files.remove(part);
    throw new ModelFileError(`what was loaded is another file: sha256 ${found}, expected ${model.sha256}`);
  }
  await files.remove(path);
  await files.move(part, path);
  return path;
}

async function complete(files: Files, part: string, options: ModelFileOptions, bytes: number): Promise<void> {
  const { url, onProgress, tries = 5, wait = sleep } = options;
  let failed = 0;
  for (;;) {
    const from = (await files.size(part)) ?? 0;
    if (from === bytes) return;
    if (from > bytes) {
      await files.remove(part);
      continue;
    }
    try {
      await files.download(url, part, from, (received) => onProgress?.(Math.min(1, (from + received) / bytes)));
    } catch (error) {
      if (error instanceof RangeIgnored) await files.remove(part);
      else if (((await files.size(part)) ?? 0) > from) failed = 0;
      failed += 1;
      if (failed >= tries) throw new ModelFileError(`the model cannot be loaded: ${String(error)}`);
      await wait(1000 * 2 ** failed);
      continue;
    }
    const now = (await files.size(part)) ?? 0;
    if (now <= from) throw new ModelFileError(`the address has only ${now} of ${bytes} bytes`);
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
