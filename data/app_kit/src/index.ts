export { MANIFEST } from './manifest';
export { buildBig5Prompt, PromptError, TRAITS, type Answers, type Trait } from './prompt';
export { parseReport, LEVELS, type Part, type Report } from './report';
export { checkReport, checkText, isSafe, type Finding } from './safety';
export { useOnDeviceSLLM } from './useOnDeviceSLLM';
export { OnDeviceModel, SLLMError, type ErrorCode, type Generation, type SLLMConfig } from './onDeviceModel';
export { ensureModel, ModelFileError, type Files } from './modelFile';
export { runBenchmark, type BenchmarkResult, type Figure } from './benchmark';
export { BenchmarkScreen } from './BenchmarkScreen';
