import { createHash } from 'crypto';
import { ensureModel, type Files } from '../src';
import { RangeIgnored } from '../src/modelFile';

const BYTES = Buffer.from('a model of some bytes');
const MODEL = { file: 'model/m.gguf', bytes: BYTES.length, sha256: createHash('sha256').update(BYTES).digest('hex') };

/** A disk, and a server whose `send` decides what of its bytes arrives before the line breaks. */
function disk(send: (rest: Buffer, from: number) => Buffer, held: Record<string, Buffer> = {}) {
  const asked: number[] = [];
  const files: Files = {
    size: (path) => Promise.resolve(held[path]?.length ?? null),
    download: (_url, path, from) => {
      asked.push(from);
      const rest = BYTES.subarray(from);
      const sent = send(rest, from);
      held[path] = Buffer.concat([held[path] ?? Buffer.alloc(0), sent]);
      return sent.length < rest.length ? Promise.reject(new Error('broken line')) : Promise.resolve();
    },
    sha256: (path) => Promise.resolve(createHash('sha256').update(held[path] ?? '').digest('hex')),
    move: (from, to) => {
      held[to] = held[from] ?? Buffer.alloc(0);
      delete held[from];
      return Promise.resolve();
    },
    remove: (path) => {
      delete held[path];
      return Promise.resolve();
    },
  };
  return { files, held, asked };
}

const OPTIONS = { url: 'https://example.org/m.gguf', folder: '/models', model: MODEL, wait: () => Promise.resolve() };

test('a broken download goes on where it broke off', async () => {
  const { files, held, asked } = disk((rest, from) => (from < 10 ? rest.subarray(0, 5) : rest));
  await expect(ensureModel(files, OPTIONS)).resolves.toBe('/models/m.gguf');
  expect(asked).toEqual([0, 5, 10]);
  expect(held).toEqual({ '/models/m.gguf': BYTES });
});

test('what an earlier start of the app has loaded is kept', async () => {
  const { files, asked } = disk((rest) => rest, { '/models/m.gguf.part': BYTES.subarray(0, 7) });
  await ensureModel(files, OPTIONS);
  expect(asked).toEqual([7]);
});

test('a model that is there is not loaded again', async () => {
  const { files, asked } = disk((rest) => rest, { '/models/m.gguf': BYTES });
  await ensureModel(files, OPTIONS);
  expect(asked).toEqual([]);
});

test('other bytes are never taken for the model', async () => {
  const { files, held } = disk((rest) => Buffer.alloc(rest.length, 'x'));
  await expect(ensureModel(files, OPTIONS)).rejects.toThrow('another file');
  expect(held).toEqual({});
});

test('a server without ranges is asked from the start', async () => {
  const { files, asked } = disk((rest) => rest, { '/models/m.gguf.part': BYTES.subarray(0, 7) });
  const whole = files.download;
  files.download = (url, path, from, onBytes) =>
    from ? Promise.reject(new RangeIgnored()) : whole(url, path, from, onBytes);
  await ensureModel(files, OPTIONS);
  expect(asked).toEqual([0]);
});

test('it gives up when nothing arrives any more', async () => {
  const { files, asked } = disk(() => Buffer.alloc(0));
  await expect(ensureModel(files, { ...OPTIONS, tries: 3 })).rejects.toThrow('broken line');
  expect(asked).toEqual([0, 0, 0]);
});
