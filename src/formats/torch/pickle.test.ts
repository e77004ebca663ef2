import { describe, expect, it } from 'vitest';
import { int, pickle, text, tuple } from '../../../test/support/pickle-writer.ts';
import { FormatError } from '../../errors.ts';
import { type PickleHost, type PickleValue, unpickle } from './pickle.ts';
import { checkTree } from './pickle-tree.ts';

/** An object of a class, and what was done to it. */
interface Named {
  readonly name: string;
  readonly done: unknown[];
}

/** Makes an object of every name, which keeps what is done to it. */
const host: PickleHost<Named> = {
  global: (module, name) => ({ name: `${module}.${name}`, done: [] }),
  call: (callee, args) => ({ name: 'result', done: [callee, args] }),
  build: (target, state) => void (target as Named).done.push('build', state),
  append: ({ done }, items) => void done.push('append', items),
  setItems: ({ done }, items) => void done.push('setItems', items),
  persistent: (id) => ({ name: 'persistent', done: [id] }),
};

const read = (...code: (string | number)[]): PickleValue<Named> => unpickle(pickle(...code), host, 'm').value;
const CLASS = 'ca\nB\n';

describe('unpickle', () => {
  // What each opcode means is defined in Python's Lib/pickletools.py.
  it.each<[string, string, PickleValue<Named>]>([
    ['DUP', `${int(1)}2\x86`, [1, 1]],
    ['POP of a value', `N${int(1)}0`, null],
    ['POP of a mark', 'N(0', null],
    ['POP of a value above a mark', `(${int(1)}${int(2)}0t`, [1]],
    ['POP_MARK', `N(${int(1)}${int(2)}1`, null],
    ['TUPLE1', `${int(1)}\x85`, [1]],
    ['TUPLE3', `${int(1)}${int(2)}${int(3)}\x87`, [1, 2, 3]],
    ['LIST', `(${int(1)}${int(2)}l`, [1, 2]],
    ['DICT', `(${int(1)}${int(2)}d`, new Map([[1, 2]])],
    ['BINFLOAT', 'G\x3f\xf8\0\0\0\0\0\0', 1.5],
    ['BININT', int(-2), -2],
    ['BININT2', 'M\x01\x02', 0x201],
    ['LONG1 of no bytes', '\x8a\0', 0],
    ['LONG1', '\x8a\x01\xff', -1],
    ['LONG1 of 2^63', '\x8a\x09\0\0\0\0\0\0\0\x80\0', 2n ** 63n],
    ['LONG4', '\x8b\x02\0\0\0\x00\x01', 256],
    ['LONG4 of 1024 bytes', `\x8b\0\x04\0\0${'\0'.repeat(1024)}`, 0],
    ['MEMOIZE', `(${text('a')}\x94h\0t`, ['a', 'a']],
    ['LONG_BINPUT and LONG_BINGET', `(${text('a')}r\0\0\x01\0j\0\0\x01\0t`, ['a', 'a']],
    ['FRAME up to the end', `\x95\x02\0\0\0\0\0\0\0N`, null],
    ['PROTO 5', '\x80\x05N', null],
  ])('reads %s', (_, code, value) => {
    expect(read(code)).toEqual(value);
  });

  it('gives what it names, calls, builds and extends to its host', () => {
    const named = { name: 'a.B', done: [] };
    expect(read(CLASS)).toEqual(named);
    expect(read(text('a'), text('B'), '\x93')).toEqual(named);
    expect(read(CLASS, tuple(int(1)), 'R')).toEqual({ name: 'result', done: [named, [1]] });
    expect(read(CLASS, tuple(int(1)), '\x81')).toEqual({ name: 'result', done: [named, [1]] });
    expect(read(CLASS, tuple(int(1)), '}\x92')).toEqual({ name: 'result', done: [named, [1]] });
    expect(read(CLASS, '}b')).toEqual({ name: 'a.B', done: ['build', new Map()] });
    expect(read(CLASS, 'Na')).toEqual({ name: 'a.B', done: ['append', [null]] });
    expect(read(CLASS, '(NNe')).toEqual({ name: 'a.B', done: ['append', [null, null]] });
    expect(read(CLASS, '(NN\x90')).toEqual({ name: 'a.B', done: ['append', [null, null]] });
    expect(read(CLASS, 'NNs')).toEqual({ name: 'a.B', done: ['setItems', [null, null]] });
    expect(read(CLASS, '(NNNu')).toEqual({ name: 'a.B', done: ['setItems', [null, null, null]] });
    expect(read(text('x'), 'Q')).toEqual({ name: 'persistent', done: ['x'] });
  });

  it.each<[string, string, RegExp]>([
    ['a value below a mark', ']N(a', /takes from an empty stack/],
    ['a top below a mark', 'N(2', /takes from an empty stack/],
    ['a mark left over', '(N', /leaves values over/],
    ['a value left over', 'NN', /leaves values over/],
    ['protocol 1', '\x80\x01N', /pickle protocol 1 is not known/],
    ['protocol 6', '\x80\x06N', /pickle protocol 6 is not known/],
    ['appending to a tuple', ')Na', /appends to something that is not a list/],
    ['appending to a dict', '}Na', /appends to something that is not a list/],
    ['appending to bytes', 'C\0Na', /appends to something that is not a list/],
    ['appending to None', 'NNa', /appends to something that is not a list/],
    ['appending to a text', `${text('a')}Na`, /appends to something that is not a list/],
    ['items of a list', ']NNs', /sets items of something that is not a dict/],
    ['items of None', 'NNNs', /sets items of something that is not a dict/],
    ['items of a number', `${int(1)}NNs`, /sets items of something that is not a dict/],
    ['a global named by a number', `${int(1)}${text('B')}\x93`, /a global is named by no strings/],
    ['a global named by None', `${text('a')}N\x93`, /a global is named by no strings/],
    ['arguments in a list', `${CLASS}]R`, /calls something without a tuple/],
    ['no arguments', `${CLASS}NR`, /calls something without a tuple/],
    ['a list as a key', '}]Ns', /cannot be a dict key/],
    ['a dict as a key', '}}Ns', /cannot be a dict key/],
    [
      'an integer of 1025 bytes',
      `\x8b\x01\x04\0\0${'\0'.repeat(1025)}`,
      /an integer of 1025 bytes is absurd/,
    ],
    ['a frame beyond the end', '\x95\x03\0\0\0\0\0\0\0N', /a frame reaches beyond the end/],
    ['a line without an end', 'cabc', /a line never ends/],
  ])('refuses %s', (_, code, message) => {
    expect(() => read(code)).toThrow(FormatError);
    expect(() => read(code)).toThrow(message);
  });

  it('takes tuples as keys, and a line that is empty', () => {
    expect(read('})Ns')).toEqual(new Map([[[], null]]));
    expect(read('c\nB\n')).toEqual({ name: '.B', done: [] });
  });

  it('says where a pickle ends that does not begin the bytes', () => {
    const bytes = Uint8Array.of(7, 7, ...pickle('N'), 7);
    expect(unpickle(bytes, host, 'm', 2)).toEqual({ value: null, end: 6 });
  });
});

describe('checkTree', () => {
  const check = (value: PickleValue<Named>): void =>
    checkTree(
      value,
      ({ done }) => done as PickleValue<Named>[],
      (what) => new FormatError(what),
    );
  const nested = (depth: number): PickleValue<Named> => (depth === 1 ? [] : [nested(depth - 1)]);

  it('takes values without parts', () => {
    for (const value of [null, true, 1, 1n, 'text', new Uint8Array(9)]) check(value);
  });

  it('takes 200 levels, however they are shared', () => {
    check(nested(200));
    expect(() => check(nested(201))).toThrow('values are nested more than 200 deep');
    const shared = nested(199);
    check([shared, shared]);
    expect(() => check([shared, [[shared]]])).toThrow('nested more than 200 deep');
    check(new Map([['key', nested(199)]]));
    expect(() => check(new Map([['key', nested(200)]]))).toThrow('nested more than 200 deep');
    check({ name: 'object', done: [nested(199)] });
    expect(() => check({ name: 'object', done: [nested(200)] })).toThrow('nested more than 200 deep');
  });

  it('takes a million values more by sharing', () => {
    // A list of 1000 values in a list, n times: 1001 n + 1 values, of which 1001 + n are there.
    const list = Array(1000).fill(0);
    check(Array(1001).fill(list));
    expect(() => check(Array(1002).fill(list))).toThrow('shared values would add more than 1000000');
    check(Array(1_200_000).fill(0)); // nothing of it is shared
  });

  it('refuses what contains itself, not what is there twice', () => {
    const list: PickleValue<Named>[] = [];
    check([list, list]);
    list.push([list]);
    expect(() => check(list)).toThrow('a value contains itself');
  });
});
