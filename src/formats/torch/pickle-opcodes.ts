/** @file The opcodes of Python's pickle protocols 2 to 5 (Lib/pickletools.py), and what they cost. */

/** Opcodes that are read. Those that could do more than describe values are left out, and so refused. */
export const Op = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  POP: 0x30,
  POP_MARK: 0x31,
  DUP: 0x32,
  BINBYTES: 0x42,
  SHORT_BINBYTES: 0x43,
  BINFLOAT: 0x47,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  NONE: 0x4e,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BINSTRING: 0x54,
  SHORT_BINSTRING: 0x55,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  APPENDS: 0x65,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  LIST: 0x6c,
  DICT: 0x64,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  NEWOBJ: 0x81,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
  LONG4: 0x8b,
  SHORT_BINUNICODE: 0x8c,
  BINUNICODE8: 0x8d,
  BINBYTES8: 0x8e,
  EMPTY_SET: 0x8f,
  ADDITEMS: 0x90,
  FROZENSET: 0x91,
  NEWOBJ_EX: 0x92,
  STACK_GLOBAL: 0x93,
  MEMOIZE: 0x94,
  FRAME: 0x95,
  BYTEARRAY8: 0x96,
} as const;

/** Opcodes that make something other than a number or a string. */
const MAKES_OBJECT = new Set<number>([
  Op.EMPTY_TUPLE,
  Op.TUPLE1,
  Op.TUPLE2,
  Op.TUPLE3,
  Op.TUPLE,
  Op.FROZENSET,
  Op.EMPTY_LIST,
  Op.EMPTY_SET,
  Op.LIST,
  Op.EMPTY_DICT,
  Op.DICT,
  Op.BINPERSID,
  Op.REDUCE,
  Op.NEWOBJ,
  Op.NEWOBJ_EX,
]);
const MEMOIZES = new Set<number>([Op.MEMOIZE, Op.BINPUT, Op.LONG_BINPUT]);

/** About their memory, in pieces of 16 bytes. */
const OBJECT_COST = 8;
const MEMO_COST = 3;

/** What each opcode costs, in units of a PickleBudget. */
export const COSTS = Uint8Array.from({ length: 256 }, (_, opcode) => {
  if (MAKES_OBJECT.has(opcode)) return OBJECT_COST;
  return MEMOIZES.has(opcode) ? MEMO_COST : 1;
});
