/** The guide's four targets, measured on the phone. */
import { MANIFEST } from './manifest';
import { OnDeviceModel } from './onDeviceModel';
import { buildBig5Prompt } from './prompt';

export interface Figure {
  name: 'load' | 'report' | 'app' | 'memory';
  /** Seconds or bytes; null where it was not measured. */
  value: number | null;
  limit: number;
  unit: 'seconds' | 'bytes';
  verdict: 'kept' | 'broken' | 'not measured';
  how: string;
}

export interface BenchmarkResult {
  model: { file: string; sha256: string; type: string };
  measuredAt: string;
  tokens: number;
  tokensPerSecond: number;
  figures: Figure[];
}

export interface BenchmarkOptions {
  modelPath: string;
  /** Bytes that the app takes now, such as getUsedMemory of react-native-device-info. */
  usedMemory?: () => Promise<number>;
  /** Bytes of the installed app with the model, from the store's report. */
  appBytes?: number;
  onStep?: (step: string) => void;
}

const MEMORY_EVERY_MS = 500;
const ANSWERS = {
  openness: '새로운 것을 배우는 걸 좋아해요',
  conscientiousness: '계획을 세우고 지키는 게 중요해요',
  extraversion: '혼자 있을 때 에너지를 얻어요',
  agreeableness: '사람들을 도와주는 걸 즐겨요',
  neuroticism: '스트레스를 받으면 운동으로 풀어요',
};

/** Load the model anew, let it write a report of `targets.report_tokens`, unload. Throws SLLMError. */
export async function runBenchmark({ modelPath, usedMemory, appBytes, onStep }: BenchmarkOptions): Promise<BenchmarkResult> {
  const { targets } = MANIFEST;
  const model = new OnDeviceModel({ modelPath, temperature: 0, generationTimeoutMs: 600_000 });
  onStep?.('load');
  await model.load();
  onStep?.('write');
  const memory = watch(usedMemory);
  try {
    const written = await model.generate(buildBig5Prompt(ANSWERS), undefined, {
      maxTokens: targets.report_tokens,
      ignoreEnd: true,
    });
    const mean = await memory.stop();
    return {
      model: { file: MANIFEST.model.file, sha256: MANIFEST.model.sha256, type: MANIFEST.model.type },
      measuredAt: new Date().toISOString(),
      tokens: written.tokens,
      tokensPerSecond: written.tokensPerSecond,
      figures: [
        figure('load', (model.loadMilliseconds ?? 0) / 1000, targets.load_seconds, 'seconds', 'from initLlama to ready'),
        reportFigure(written.tokens, written.milliseconds / 1000),
        figure(
          'app',
          appBytes ?? MANIFEST.model.bytes + targets.app_bytes_besides_model,
          targets.app_bytes,
          'bytes',
          appBytes === undefined ? 'the model and an allowance for the rest' : 'the installed app',
        ),
        figure('memory', mean, targets.memory_bytes, 'bytes', 'mean of the app while it wrote'),
      ],
    };
  } finally {
    await memory.stop();
    await model.unload();
  }
}

function reportFigure(tokens: number, seconds: number): Figure {
  const { report_tokens, report_seconds } = MANIFEST.targets;
  const whole = tokens >= report_tokens;
  const value = tokens ? (whole ? seconds : (seconds * report_tokens) / tokens) : null;
  const how = whole ? `${tokens} tokens, prompt included` : `from ${tokens} tokens to ${report_tokens}`;
  return figure('report', value, report_seconds, 'seconds', how);
}

function figure(name: Figure['name'], value: number | null, limit: number, unit: Figure['unit'], how: string): Figure {
  const verdict = value === null ? 'not measured' : value <= limit ? 'kept' : 'broken';
  return { name, value, limit, unit, verdict, how };
}

/** The mean of a reading that is taken again and again; null without a reading. */
function watch(read: (() => Promise<number>) | undefined): { stop: () => Promise<number | null> } {
  const readings: number[] = [];
  const take = async () => {
    if (read) readings.push(await read());
  };
  let last = take();
  const again = () => {
    last = take();
  };
  const timer = read ? setInterval(again, MEMORY_EVERY_MS) : undefined;
  return {
    stop: async () => {
      clearInterval(timer);
      await last;
      return readings.length ? readings.reduce((sum, one) => sum + one, 0) / readings.length : null;
    },
  };
}
