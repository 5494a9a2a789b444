/** Finds Korean phone and resident numbers, e-mail addresses, cards and accounts. */
import type { Span } from './rules';
import { isDigit } from './characters';

const CANDIDATE = /[+0-9０-９][0-9０-９ .\-–()]{6,28}[0-9０-９]/gu;
const MOBILE = /(?:\+?82[ .-]?\(?0?\)?|0)1[016789][ .)-]*[0-9]{3,4}[ .-]*[0-9]{4}/u;
const LANDLINE =
  /(?:\+?82[ .-]?\(?0?\)?|\(?0)(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50[0-9])\)?[ .-][0-9]{3,4}[ .-][0-9]{4}/u;
const RESIDENT = /([0-9]{2})([0-9]{2})([0-9]{2})[ -]{0,3}([1-8])([0-9]{6})/u;
const CARD = /[0-9]{4}[ .-]?[0-9]{4}[ .-]?[0-9]{4}[ .-]?[0-9]{1,4}|3[47][0-9]{2}[ .-]?[0-9]{6}[ .-]?[0-9]{5}/u;
const ACCOUNT = /[0-9]{2,6}-[0-9]{2,6}-[0-9]{2,8}(?:-[0-9]{1,3})?|[0-9]{10,14}/u;
const ACCOUNT_WORDS = /계좌|은행|농협|신협|새마을금고|뱅크|입금|송금|통장/u;
const EMAIL =
  /[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,24}/gu;
/** Characters around a number in which a word must say that it is an account. */
const CONTEXT = 25;

type Kind = 'phone' | 'resident' | 'bank';

export function emails(text: string): Span[] {
  return [...text.matchAll(EMAIL)].map((match) => [match.index, match.index + match[0].length]);
}

export function numbers(text: string, wanted: Kind): Span[] {
  const found: Span[] = [];
  for (const match of text.matchAll(CANDIDATE)) {
    const [kind, at, length] = classified(halfWidth(match[0]), text, match.index) ?? [];
    if (kind === wanted && at !== undefined && length !== undefined) {
      found.push([match.index + at, match.index + at + length]);
    }
  }
  return found;
}

function halfWidth(digits: string): string {
  return digits.replace(/[０-９–]/gu, (sign) =>
    sign === '–' ? '-' : String.fromCharCode(sign.charCodeAt(0) - 0xff10 + 0x30),
  );
}

function classified(digits: string, text: string, start: number): [Kind, number, number] | undefined {
  const resident = RESIDENT.exec(digits);
  if (resident) {
    const around = [digits[resident.index - 1], digits[resident.index + resident[0].length]];
    const alone = !around.some((sign) => sign !== undefined && isDigit(sign));
    if (alone && wasBorn(resident)) return ['resident', resident.index, resident[0].length];
  }
  const phone = MOBILE.exec(digits) ?? LANDLINE.exec(digits);
  if (phone) return ['phone', phone.index, phone[0].length];
  const card = CARD.exec(digits);
  if (card && luhn(card[0])) return ['bank', card.index, card[0].length];
  const account = ACCOUNT.exec(digits);
  const near = text.slice(Math.max(0, start - CONTEXT), start + digits.length + CONTEXT);
  if (account && ACCOUNT_WORDS.test(near)) return ['bank', account.index, account[0].length];
  return undefined;
}

/** Whether the date of a resident number exists; the century follows from the digit after it. */
function wasBorn(resident: RegExpExecArray): boolean {
  const [year = 0, month = 0, day = 0, sex = 0] = resident.slice(1, 5).map(Number);
  const full = ([3, 4, 7, 8].includes(sex) ? 2000 : 1900) + year;
  const date = new Date(Date.UTC(full, month - 1, day));
  return date.getUTCFullYear() === full && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

function luhn(number: string): boolean {
  const digits = [...number].filter((sign) => sign >= '0' && sign <= '9').map(Number);
  if (digits.length < 13) return false;
  const sum = digits.reverse().reduce((total, digit, place) => {
    const doubled = digit * 2 - (digit > 4 ? 9 : 0);
    return total + (place % 2 ? doubled : digit);
  }, 0);
  return sum % 10 === 0;
}
