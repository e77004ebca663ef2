/** @file The training loss, step by step, on a logarithmic scale: it falls to a hundredth within a few hundred steps. */

const [WIDTH, HEIGHT] = [320, 70];
/** The decay of the moving average that is drawn over the losses. */
const DECAY = 0.9;

export function LossChart({ losses, steps }: { readonly losses: readonly number[]; readonly steps: number }) {
  const smooth = movingAverage(losses);
  const last = smooth.at(-1)?.toPrecision(2);
  const [lowest, highest] = [Math.log(Math.min(...losses)), Math.log(Math.max(...losses))];
  const point = (loss: number, step: number): string => {
    const height = (Math.log(loss) - lowest) / Math.max(highest - lowest, 1e-6);
    return `${((step / Math.max(1, steps - 1)) * WIDTH).toFixed(1)},${(HEIGHT * (1 - height)).toFixed(1)}`;
  };
  return (
    <figure class="chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={last ? `Loss ${last}` : 'No loss yet'}>
        <polyline class="thin" points={losses.map(point).join(' ')} />
        <polyline class="thick" points={smooth.map(point).join(' ')} />
      </svg>
      <figcaption>
        {last === undefined
          ? 'The loss, on a logarithmic scale: how wrong the predicted noise is.'
          : `Step ${losses.length} of ${steps}, loss ${last}`}
      </figcaption>
    </figure>
  );
}

function movingAverage(losses: readonly number[]): number[] {
  let [sum, weight] = [0, 0];
  return losses.map((loss) => {
    sum = DECAY * sum + (1 - DECAY) * loss;
    weight = DECAY * weight + (1 - DECAY);
    return sum / weight;
  });
}
