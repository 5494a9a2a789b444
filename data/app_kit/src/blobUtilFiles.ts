/** Files for ensureModel, by react-native-blob-util, which hashes natively. */
import ReactNativeBlobUtil from 'react-native-blob-util';
import { ModelFileError, RangeIgnored, type Files } from './modelFile';

const { fs } = ReactNativeBlobUtil;
const PROGRESS_MS = 250;

export const blobUtilFiles: Files = {
  async size(path) {
    return (await fs.exists(path)) ? Number((await fs.stat(path)).size) : null;
  },
  async download(url, path, from, onBytes) {
    const headers: Record<string, string> = from ? { Range: `bytes=${from}-` } : {};
    const answer = await ReactNativeBlobUtil.config({ path, overwrite: from === 0 })
      .fetch('GET', url, headers)
      .progress({ interval: PROGRESS_MS }, (received) => onBytes(Number(received)));
    const { status } = answer.info();
    if (from && status === 200) throw new RangeIgnored();
    if (status !== (from ? 206 : 200)) {
      await fs.unlink(path);
      throw new ModelFileError(`the address answers with status ${status}`);
    }
  },
  sha256: (path) => fs.hash(path, 'sha256'),
  async move(from, to) {
    await fs.mv(from, to);
  },
  async remove(path) {
    if (await fs.exists(path)) await fs.unlink(path);
  },
};
