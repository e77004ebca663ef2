/** @file A picture or a clip on a canvas, with what is finished of it. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { drawFrame, type Frame } from '../model/frame.ts';

/** Frames a second of clips on the page. */
export const FPS = 8;

interface PictureProps {
  readonly frames: readonly Frame[];
  /** What it shows, in words. */
  readonly label: string;
  /** Clips play; else their first frame stands. */
  readonly playing?: boolean;
  readonly class?: string;
}

export function Picture({ frames, label, playing = false, class: className = '' }: PictureProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useFrame(frames.length, playing);
  useEffect(() => {
    const shown = frames[Math.min(frame, frames.length - 1)];
    if (canvas.current && shown) drawFrame(canvas.current, shown);
  }, [frames, frame]);
  // Without words it is decoration.
  const words = label === '' ? { 'aria-hidden': true } : { role: 'img' as const, 'aria-label': label };
  return <canvas ref={canvas} class={`picture ${className}`} {...words} width={1} height={1} />;
}

/** The number of the frame to show. Nothing moves for those who asked for less motion. */
function useFrame(count: number, playing: boolean): number {
  const [frame, setFrame] = useState(0);
  useEffect(() => {
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    if (!playing || count < 2 || still) return;
    const timer = setInterval(() => setFrame((now) => (now + 1) % count), 1000 / FPS);
    return () => clearInterval(timer);
  }, [count, playing]);
  return playing ? frame : 0;
}
