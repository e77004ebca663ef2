/** @file What the test programs of the remote transports serve. */

import { ApiError } from '../../src/errors.ts';
import type { Call } from '../../src/remote/protocol.ts';
import type { Handlers } from '../../src/remote/serve.ts';
import { transferred } from '../../src/remote/serve.ts';

export interface TestCalls {
  /** Returns an array, which need not stay at this end. */
  fill: Call<{ size: number; value: number }, Float32Array>;
  /** Returns how many bytes the last array of `fill` still has at this end. */
  left: Call<undefined, number>;
  refuse: Call<undefined>;
  /** Counts without end, until it is stopped. */
  count: Call<undefined, void, number>;
  /** Returns how many counts were stopped. */
  stopped: Call<undefined, number>;
  /** Blocks the event loop. */
  block: Call<undefined>;
  /** Throws where nothing catches it. */
  crash: Call<undefined>;
}

export function testHandlers(): Handlers<TestCalls> {
  let last = new Float32Array();
  let stopped = 0;
  return {
    async fill({ size, value }) {
      last = new Float32Array(size).fill(value);
      return transferred(last, [last]);
    },
    left: async () => last.byteLength,
    async refuse() {
      throw new ApiError(429, 'too_many', 'wait', { retryAfter: 5 });
    },
    async *count() {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        stopped++;
      }
    },
    stopped: async () => stopped,
    async block() {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    },
    crash: () => {
      setTimeout(() => {
        throw new Error('nobody catches this');
      });
      return new Promise(() => {});
    },
  };
}
