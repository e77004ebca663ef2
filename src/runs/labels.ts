/** @file Labels as users write them, class numbers or names, and as they are shown. */

import { at } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { invalidOption } from '../invalid-option.ts';
import { printable } from '../io/printable.ts';
import { type ChosenClass, className, findName, requireClass } from '../models/acdit/class-names.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { PerBlock } from '../sampling/settings.ts';

/** Labels that were read from a text. */
export interface ParsedLabels {
  readonly labels: readonly PerBlock[];
  /** Notes on which class was taken if a text could mean two. */
  readonly notes: string[];
}

/**
 * Reads `3,7`, `sneaker,bag` or, per block, `3/3/7/7`; see `findClass` for how names and numbers are distinguished. A
 * name with a comma or slash is written in double quotes, `"tench, Tinca tinca",7`, in which `""` is one double quote.
 * @throws {ArgumentError} naming the range of numbers, the nearest name, or the readings of a text that has two.
 */
export function parseLabels(config: AcditConfig, text: string, blocks = config.blocks): ParsedLabels {
  const whole = classWith(',', config, text);
  const readList = (): ChosenClass[][] => splitLabels(text).map((item) => readItem(config, item, blocks));
  const items = oneReading(text, ',', whole && [[whole]], whole ? tryRead(readList) : readList());
  return {
    labels: items.map((item) => {
      const labels = item.map(({ label }) => label);
      return labels.length === 1 ? at(labels, 0) : labels;
    }),
    notes: [...new Set(items.flat().flatMap(({ note }) => note ?? []))],
  };
}

/** Reads the class of a sample, or one per block. */
function readItem(config: AcditConfig, { raw, parts }: LabelItem, blocks: number): ChosenClass[] {
  if (parts.length === 1) return [readPart(config, at(parts, 0))];
  const whole = classWith('/', config, raw);
  const readBlocks = (): ChosenClass[] => {
    if (parts.length !== blocks) {
      throw invalidOption(
        'labels',
        `'${raw}' has ${parts.length} values; give one, or one for each of ${blocks} blocks`,
      );
    }
    return parts.map((part) => readPart(config, part));
  };
  return oneReading(raw, '/', whole && [whole], whole ? tryRead(readBlocks) : readBlocks());
}

function readPart(config: AcditConfig, part: string): ChosenClass {
  try {
    return requireClass(config, part);
  } catch (cause) {
    const { message } = cause as Error;
    const example = config.classNames?.find((name) => name.includes(','));
    if (!(cause instanceof ArgumentError) || example === undefined) throw cause;
    throw new ArgumentError(
      `${message} (a name with a comma goes in double quotes: --labels '${printable(quotedLabel(example))}')`,
      { cause },
    );
  }
}

/** Returns the class whose name is the text, if that contains the separator. */
function classWith(separator: string, { classNames }: AcditConfig, text: string): ChosenClass | undefined {
  if (!text.includes(separator) || !classNames) return undefined;
  const label = findName({ classes: classNames.length, classNames }, text);
  return label === undefined ? undefined : { label };
}

/** @throws {ArgumentError} if a text can be read as one name and as several. */
function oneReading<T>(text: string, separator: string, whole: T | undefined, several: T | undefined): T {
  if (whole === undefined || several === undefined) return (whole ?? several)!;
  const parts = text.split(separator).map((part) => quotedLabel(part.trim()));
  throw invalidOption(
    'labels',
    `${printable(text)} could mean one class or several; ` +
      `write '${quotedLabel(text.trim())}' for one, or '${parts.join(separator)}' for several`,
  );
}

function tryRead<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof ArgumentError) return undefined;
    throw error;
  }
}

/** Returns a name as it is written in a list of labels: in quotes if it needs them. */
export function writtenLabel(name: string): string {
  return /,|^"|^\s|\s$/.test(name) ? quotedLabel(name) : name;
}

function quotedLabel(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The text between two commas. */
interface LabelItem {
  /** The label as written. */
  readonly raw: string;
  /** The parts between slashes, without quotes. */
  readonly parts: readonly string[];
}

/** @throws {ArgumentError} if a quote is not closed, or a part is empty. */
function splitLabels(text: string): LabelItem[] {
  /** A part in double quotes, or up to the next separator; and that separator. */
  const pattern = /\s*(?:"((?:[^"]|"")*)"\s*(?=[,/]|$)|([^,/]*))([,/]|$)/y;
  const items: LabelItem[] = [];
  let parts: string[] = [];
  let start = 0;
  for (let separator = ','; separator !== ''; ) {
    const [, inQuotes, plain = '', next] = pattern.exec(text)!;
    if (plain.startsWith('"')) {
      throw invalidOption(
        'labels',
        `${printable(text)}: a double quote is not closed; write '"a, b",c', and "" for a quote in a name`,
      );
    }
    const part = inQuotes?.replaceAll('""', '"') ?? plain.trim();
    if (part === '')
      throw invalidOption('labels', `'${printable(text)}' has an empty part; each part must name a class`);
    parts.push(part);
    separator = next ?? '';
    if (separator === '/') continue;
    items.push({ raw: text.slice(start, pattern.lastIndex - separator.length).trim(), parts });
    [parts, start] = [[], pattern.lastIndex];
  }
  return items;
}

/** Returns the name of a label, or its number if the model has no names. */
export function labelName(config: AcditConfig, label: PerBlock): string {
  if (typeof label !== 'number') return label.map((part) => labelName(config, part)).join(' / ');
  return className(config, label);
}
