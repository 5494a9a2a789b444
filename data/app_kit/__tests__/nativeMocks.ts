/** The native functions of llama.rn's mock, for tests that change what they do. */
import 'llama.rn/jest/mock';
import { NativeModules } from 'react-native';

const NAMES = ['llamaInitContext', 'llamaCompletion', 'llamaTokenize', 'llamaStopCompletion', 'llamaReleaseContext'] as const;
export type Native = Record<(typeof NAMES)[number], jest.Mock>;

/** Call it before a model is loaded: llama.rn takes the functions away from the global object then. */
export async function nativeMocks(): Promise<Native> {
  await (NativeModules as { RNLlama: { install: () => Promise<boolean> } }).RNLlama.install();
  const there = globalThis as unknown as Native;
  return Object.fromEntries(NAMES.map((name) => [name, there[name]])) as Native;
}
