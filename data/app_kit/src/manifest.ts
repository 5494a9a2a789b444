/** What the export says of the model. The kit reads it and knows no figure of its own. */
import manifest from './generated/manifest.json';

export interface Sampling {
  temperature: number;
  top_p: number;
  top_k: number;
  min_p: number;
  repeat_penalty: number;
}

export interface Manifest {
  format: string;
  model: { file: string; bytes: number; sha256: string; type: string; name: string };
  /** Tokens of prompt and answer together, and of the longest answer. */
  context: number;
  max_tokens: number;
  stop: string[];
  sampling: Sampling;
  targets: Targets;
}

/** The four limits of the guide, in seconds and bytes. */
export interface Targets {
  source: string;
  load_seconds: number;
  report_tokens: number;
  report_seconds: number;
  app_bytes: number;
  app_bytes_besides_model: number;
  memory_bytes: number;
}

export const MANIFEST: Manifest = manifest;
