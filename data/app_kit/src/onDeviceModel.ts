/** One model on the phone: load, generate, stop, unload. The hook is a view of this. */
import { initLlama, type LlamaContext, type NativeCompletionResult } from 'llama.rn';
import { MANIFEST } from './manifest';

export type ErrorCode =
  | 'not-loaded'
  | 'load-failed'
  | 'load-timeout'
  | 'busy'
  | 'prompt-too-long'
  | 'generation-failed'
  | 'generation-timeout';

export class SLLMError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    /** What was written before the error. */
    readonly partial = '',
  ) {
    super(message);
    this.name = 'SLLMError';
  }
}

export interface SLLMConfig {
  /** Where the GGUF lies on the phone: a path or a file:// address. */
  modelPath: string;
  /** The model is a resource of the app, named by its file. */
  isModelAsset?: boolean;
  /** Default: those of the manifest, which the model was checked with. */
  contextLength?: number;
  temperature?: number;
  maxTokens?: number;
  /** Layers on the GPU; Metal on iOS. 0 stays on the CPU. */
  gpuLayers?: number;
  loadTimeoutMs?: number;
  generationTimeoutMs?: number;
}

export interface Generation {
  text: string;
  /** `itself`: the model ended its answer. `limit`: maxTokens or the context. `stopped`: stop(). */
  ended: 'itself' | 'limit' | 'stopped';
  tokens: number;
  tokensPerSecond: number;
  milliseconds: number;
}

export interface GenerateOptions {
  maxTokens?: number;
  /** For benchmarks: write on after the model has ended. */
  ignoreEnd?: boolean;
}

/** Tokens of the prompt that are read at once: a smaller compute buffer than llama.cpp's 512. */
const BATCH = 128;
/** How long a generation that was asked to stop may take to end. */
const STOP_GRACE_MS = 3_000;

export class OnDeviceModel {
  loadMilliseconds: number | null = null;
  private context: LlamaContext | null = null;
  private loading: Promise<void> | null = null;
  private running: Promise<NativeCompletionResult> | null = null;
  private stopRequested = false;
  /** Raised by unload(): a load that comes in after it is let go. */
  private epoch = 0;

  constructor(readonly config: SLLMConfig) {}

  get isLoaded(): boolean {
    return this.context !== null;
  }

  get isGenerating(): boolean {
    return this.running !== null;
  }

  /** Load the model; done at once when it is loaded. Throws SLLMError. */
  async load(onProgress?: (percent: number) => void): Promise<void> {
    if (this.context) return;
    this.loading ??= this.loadNow(onProgress).finally(() => {
      this.loading = null;
    });
    await this.loading;
  }

  private async loadNow(onProgress?: (percent: number) => void): Promise<void> {
    const { modelPath, isModelAsset, contextLength = MANIFEST.context, gpuLayers = 99, loadTimeoutMs = 60_000 } = this.config;
    const epoch = ++this.epoch;
    const started = Date.now();
    const arriving = initLlama(
      {
        model: modelPath,
        is_model_asset: isModelAsset ?? false,
        n_ctx: contextLength,
        n_ubatch: BATCH,
        n_parallel: 1,
        n_gpu_layers: gpuLayers,
        use_mmap: true,
      },
      onProgress,
    );
    let context: LlamaContext;
    try {
      context = await within(loadTimeoutMs, arriving);
    } catch (error) {
      if (!(error instanceof Timeout)) throw new SLLMError('load-failed', `the model cannot be loaded: ${said(error)}`);
      this.epoch += 1;
      void arriving.then((late) => late.release(), ignore);
      throw new SLLMError('load-timeout', `the model was not loaded within ${loadTimeoutMs} ms`);
    }
    if (epoch !== this.epoch) {
      await context.release();
      throw new SLLMError('load-failed', 'the model was unloaded while it was loading');
    }
    this.loadMilliseconds = Date.now() - started;
    this.context = context;
  }

  /**
   * Write the answer to a prompt of buildBig5Prompt. `onText` gets the whole text so far.
   *
   * Throws SLLMError; after `generation-timeout` its `partial` is what was written.
   */
  async generate(prompt: string, onText?: (text: string) => void, options: GenerateOptions = {}): Promise<Generation> {
    const context = this.context;
    if (!context) throw new SLLMError('not-loaded', 'the model is not loaded: call loadModel first');
    if (this.running) throw new SLLMError('busy', 'an answer is being written: wait for it, or stop it');
    const { generationTimeoutMs = 120_000 } = this.config;
    const started = Date.now();
    let text = '';
    this.stopRequested = false;
    const running = this.complete(context, prompt, options, (piece) => {
      text += piece;
      onText?.(text);
    });
    this.running = running;
    try {
      const result = await within(generationTimeoutMs, running);
      return this.generation(result, text, Date.now() - started);
    } catch (error) {
      if (error instanceof Timeout) {
        await this.stop();
        throw new SLLMError('generation-timeout', `no end within ${generationTimeoutMs} ms`, text);
      }
      if (error instanceof SLLMError) throw error;
      throw new SLLMError('generation-failed', `the answer broke off: ${said(error)}`, text);
    } finally {
      this.running = null;
    }
  }

  private async complete(
    context: LlamaContext,
    prompt: string,
    options: GenerateOptions,
    onPiece: (piece: string) => void,
  ): Promise<NativeCompletionResult> {
    const { contextLength = MANIFEST.context, temperature = MANIFEST.sampling.temperature } = this.config;
    const maxTokens = options.maxTokens ?? this.config.maxTokens ?? MANIFEST.max_tokens;
    const { tokens } = await context.tokenize(prompt);
    if (tokens.length + maxTokens > contextLength) {
      throw new SLLMError(
        'prompt-too-long',
        `the prompt has ${tokens.length} tokens; with ${maxTokens} of the answer that is more than ${contextLength}`,
      );
    }
    const { top_p, top_k, min_p, repeat_penalty } = MANIFEST.sampling;
    return context.completion(
      {
        prompt, // rendered already, so that llama.rn applies no template of its own
        n_predict: maxTokens,
        stop: options.ignoreEnd ? [] : MANIFEST.stop,
        ignore_eos: options.ignoreEnd ?? false,
        temperature,
        top_p,
        top_k,
        min_p,
        penalty_repeat: repeat_penalty,
      },
      (data) => onPiece(data.token),
    );
  }

  private generation(result: NativeCompletionResult, streamed: string, milliseconds: number): Generation {
    const stopped = this.stopRequested || result.interrupted;
    const byItself = result.stopped_eos || Boolean(result.stopping_word);
    return {
      text: result.text || streamed,
      ended: stopped ? 'stopped' : byItself ? 'itself' : 'limit',
      tokens: result.tokens_predicted,
      tokensPerSecond: result.timings.predicted_per_second,
      milliseconds,
    };
  }

  /** End the answer that is being written; generate() then gives what there is. */
  async stop(): Promise<void> {
    const running = this.running;
    if (!running || !this.context) return;
    this.stopRequested = true;
    await this.context.stopCompletion();
    await within(STOP_GRACE_MS, running).catch(ignore);
  }

  /** Let go of the memory. What is being loaded or written is ended. */
  async unload(): Promise<void> {
    this.epoch += 1;
    await this.stop();
    const context = this.context;
    this.context = null;
    await context?.release();
  }
}

class Timeout extends Error {}

function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Timeout()), milliseconds);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function ignore(): void {
  // the caller has been told already
}
