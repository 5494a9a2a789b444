// Lets an exported model answer in node-llama-cpp: node check.mjs EXPORT_FOLDER [CASES]
//
// One JSON line per case on stdout: the ids and the text of the first 16 tokens, how many it wrote,
// and which stop string of the manifest ended it (null when none did).
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';

const FIRST = 16;
const SMALL_BYTES = 64 << 20; // threads of a small model wait for each other longer than they work
const [folder, wanted = '4'] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node check.mjs EXPORT_FOLDER [CASES]');
  process.exit(2);
}
const manifest = JSON.parse(readFileSync(path.join(folder, 'manifest.json'), 'utf8'));
const golden = JSON.parse(readFileSync(path.join(folder, 'kit', '__tests__', 'golden.json'), 'utf8'));
const modelPath = path.join(folder, manifest.model.file);

const hash = createHash('sha256');
for await (const block of createReadStream(modelPath)) hash.update(block);
if (hash.digest('hex') !== manifest.model.sha256) {
  console.error(`${modelPath}: is not the file of the manifest`);
  process.exit(1);
}

const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  contextSize: manifest.context,
  threads: statSync(modelPath).size < SMALL_BYTES ? 1 : 0,
});
const sequence = context.getSequence();
for (const { id, prompt } of golden.slice(0, Number(wanted))) {
  await sequence.clearHistory();
  const written = [];
  let end = null;
  const tokens = model.tokenize(prompt, true);
  for await (const token of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
    const text = model.detokenize([token], true);
    if (manifest.stop.includes(text)) end = text;
    if (end !== null || written.length === manifest.max_tokens) break;
    written.push(token);
  }
  const first = written.slice(0, FIRST);
  console.log(
    JSON.stringify({ case: id, prompt_tokens: tokens.length, first, text: model.detokenize(first), tokens: written.length, end }),
  );
}
await llama.dispose();
