/** The prompt for five answers, byte for byte what the model was trained on. */
import form from './generated/form.json';
import prompt from './generated/prompt.json';

export const TRAITS = ['openness', 'conscientiousness', 'extraversion', 'agreeableness', 'neuroticism'] as const;
export type Trait = (typeof TRAITS)[number];
export type Answers = Record<Trait, string>;

export class PromptError extends Error {
  constructor(
    readonly trait: Trait,
    message: string,
  ) {
    super(message);
    this.name = 'PromptError';
  }
}

/**
 * The text that the model is asked with, ready for its answer. Give it to the model as it is:
 * no chat template is to be applied again.
 *
 * Throws PromptError for an answer that is missing or blank.
 */
export function buildBig5Prompt(answers: Answers): string {
  const [before = '', ...after] = prompt.pieces;
  return TRAITS.reduce((text, trait, place) => text + clean(trait, answers[trait]) + (after[place] ?? ''), before);
}

/**
 * An answer as the training data has them: composed Hangul, on one line. Markup of the chat
 * template is broken up, so that nobody ends the prompt from within an answer.
 */
function clean(trait: Trait, answer: string | undefined): string {
  const text = (answer ?? '').normalize('NFC').replace(/[\r\n\u2028\u2029]+/gu, ' ').replace(/<\|/gu, '< |').trim();
  if (text === '') {
    const name = form.traits.find((one) => one.key === trait)?.korean ?? trait;
    throw new PromptError(trait, `the answer to ${name} (${trait}) is missing`);
  }
  return text;
}
