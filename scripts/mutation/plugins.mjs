/** @file Plugins for Stryker: mutants of error texts are ignored, and a sample of the others can be tested. */

import { createHash } from 'node:crypto';

/** Where in a shuffled list a mutant stands: the same in every run, whatever else is mutated. */
function rank({ fileName, location, mutatorName, replacement }) {
  const { line, column } = location.start;
  const identity = [fileName.split('/src/').at(-1), line, column, mutatorName, replacement];
  return createHash('sha256')
    .update(`seed 17 ${identity.join(' ')}`)
    .digest('hex');
}

/** Lets the first mutants of the shuffled list pass. Stryker asks it once, for all mutants together. */
class Sample {
  #chosen = new Set();

  async init() {}

  async group(mutants) {
    const ranked = mutants.map((mutant) => ({ id: mutant.id, rank: rank(mutant) }));
    ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1));
    this.#chosen = new Set(ranked.slice(0, Number(process.env.MUTATION_SAMPLE)).map(({ id }) => id));
    return [mutants.map(({ id }) => id)];
  }

  async check(mutants) {
    const result = ({ id }) =>
      this.#chosen.has(id) ? { status: 'passed' } : { status: 'compileError', reason: 'not in the sample' };
    return Object.fromEntries(mutants.map((mutant) => [mutant.id, result(mutant)]));
  }
}

/** Ignores texts that are thrown or given to a new error, with what they quote. */
const errorTexts = {
  shouldIgnore(path) {
    if (!path.isStringLiteral() && !path.isTemplateLiteral()) return undefined;
    const thrown = path.findParent(
      (parent) =>
        parent.isThrowStatement() || (parent.isNewExpression() && parent.node.callee.name?.endsWith('Error')),
    );
    return thrown ? 'text of an error' : undefined;
  },
};

export const strykerPlugins = [
  { kind: 'Ignore', name: 'error-texts', value: errorTexts },
  { kind: 'Checker', name: 'sample', injectableClass: Sample },
];
