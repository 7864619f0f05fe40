export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The VGA's modes of so many lines filled a screen of 4:3; all others have square pixels. */
const TALL_LINES: readonly number[] = [200, 350, 400];
const shownHeight = (width: number, height: number): number =>
  width <= 720 && TALL_LINES.includes(height) ? (width * 3) / 4 : height;

/** The size in CSS pixels that a picture gets in a space. */
export function fitted(picture: Size, space: Size, scaling: "fit" | "whole", devicePixels: number): Size {
  const tall = shownHeight(picture.width, picture.height);
  const room = Math.min(space.width / picture.width, space.height / tall) * devicePixels;
  const scale = (scaling === "whole" && room >= 1 ? Math.floor(room) : room) / devicePixels;
  return { width: picture.width * scale, height: tall * scale };
}
