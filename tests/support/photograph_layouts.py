"""Small sets of photographs in the layouts that people have: noisy plates, bad ones with a bright blot of 12×10."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from support.drawn_parts import write

HEIGHT, WIDTH = 72, 128
Box = tuple[int, int, int, int]
"""Left, top, width and height of a blot, in pixels."""


class Plates:
    """Writes plates below a folder, each with noise and a blot of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(0)

    def good(self, name: str) -> None:
        write(self.folder / name, self._noise().clip(0, 255).astype(np.uint8))

    def bad(self, name: str, mask: str | None = None) -> Box:
        """Write a plate with a blot, and its mask if it has a name; returns where the blot is."""
        frame, truth = self._noise(), np.zeros((HEIGHT, WIDTH), np.uint8)
        left, top = int(self.rng.integers(4, WIDTH - 20)), int(self.rng.integers(4, HEIGHT - 20))
        truth[top : top + 10, left : left + 12] = 255
        frame[truth > 0] += 100
        write(self.folder / name, frame.clip(0, 255).astype(np.uint8))
        if mask is not None:
            write(self.folder / mask, truth)
        return left, top, 12, 10

    def text(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def json(self, name: str, content: object) -> Path:
        return self.text(name, json.dumps(content))

    def _noise(self) -> np.ndarray:
        return self.rng.normal(110, 12, (HEIGHT, WIDTH, 3))


def numbered(folder: str, count: int, suffix: str = ".png", start: int = 0) -> Iterator[str]:
    return (f"{folder}/{index:03}{suffix}" for index in range(start, start + count))


def good_only(plates: Plates, folder: str, count: int = 8) -> None:
    for name in numbered(folder, count):
        plates.good(name)


def visa(folder: Path) -> None:
    plates = Plates(folder)
    rows, kinds = ["object,split,label,image,mask"], ["image,label,mask"]
    for index, name in enumerate(numbered("Data/Images/Normal", 16, ".JPG")):
        plates.good(name)
        rows.append(f"{folder.name},{'train' if index < 8 else 'test'},normal,{folder.name}/{name},")
        kinds.append(f"{folder.name}/{name},normal,")
    for name in numbered("Data/Images/Anomaly", 8, ".JPG"):
        mask = name.replace("Images", "Masks").replace(".JPG", ".png")
        plates.bad(name, mask)
        rows.append(f"{folder.name},test,anomaly,{folder.name}/{name},{folder.name}/{mask}")
        kinds.append(f"{folder.name}/{name},chunk missing,{folder.name}/{mask}")
    plates.text("image_anno.csv", "\n".join(kinds) + "\n")
    (folder.parent / "split_csv").mkdir()
    (folder.parent / "split_csv" / "1cls.csv").write_text("\n".join(rows) + "\n")


def mvtec_loco(folder: Path) -> None:
    plates = Plates(folder)
    good_only(plates, "train/good")
    good_only(plates, "validation/good", 4)
    good_only(plates, "test/good", 4)
    for kind in ("logical_anomalies", "structural_anomalies"):
        for name in numbered(f"test/{kind}", 4):
            plates.bad(name, f"ground_truth/{kind}/{Path(name).stem}/000.png")
    second = np.zeros((HEIGHT, WIDTH), np.uint8)
    second[60:66, 100:110] = 254
    write(folder / "ground_truth/logical_anomalies/000/001.png", second)
    plates.json("defects_config.json", [{"defect_name": "missing", "pixel_value": 255}])


def mvtec_ad2(folder: Path) -> None:
    plates = Plates(folder)
    good_only(plates, "train/good")
    good_only(plates, "validation/good", 4)
    good_only(plates, "test_public/good", 4)
    good_only(plates, "test_private", 2)
    for name in numbered("test_public/bad", 4, "_regular.png"):
        plates.bad(name, f"test_public/ground_truth/bad/{Path(name).stem}_mask.png")


def btad(folder: Path) -> None:
    plates = Plates(folder)
    good_only(plates, "train/ok")
    good_only(plates, "test/ok")
    for name in numbered("test/ko", 8):
        plates.bad(name, f"ground_truth/ko/{Path(name).name}")


def labelled(folder: Path, good: str, bad: str, splits: tuple[str, ...] = ("",), masks: str | None = None) -> None:
    """Folders `good` and `bad`, in each of the splits if there are any."""
    plates = Plates(folder)
    for split in splits:
        good_only(plates, f"{split}/{good}".lstrip("/"))
        for name in numbered(f"{split}/{bad}".lstrip("/"), 8):
            plates.bad(name, f"{split}/{masks}/{Path(name).name}".lstrip("/") if masks else None)


def ok_ng(folder: Path) -> None:
    labelled(folder, "OK", "NG", masks="mask")


def ok_ng_in_splits(folder: Path) -> None:
    labelled(folder, "pass", "fail", ("train", "valid", "test"), "masks")


def castings(folder: Path) -> None:
    labelled(folder, "ok_front", "def_front", ("train", "test"))


def labels_csv(folder: Path) -> None:
    plates = Plates(folder)
    rows = ["image,label,split,mask"]
    for split in ("train", "val", "test"):
        for index in range(8):
            plates.good(f"images/{split}{index}.png")
            plates.bad(f"images/{split}{index}b.png", f"masks/{split}{index}b.png")
            rows += [
                f"{split}{index}.png,ok,{split},",
                f"{split}{index}b.png,scratch,{split},masks/{split}{index}b.png",
            ]
    plates.text("labels.csv", "\n".join(rows) + "\n")


def coco(boxes: dict[str, Box | None], as_boxes: bool = False) -> dict[str, object]:
    """COCO's content for pictures with a blot, or without one, by `file_name`; polygons unless `as_boxes`."""
    images, drawn = [], []
    for number, (name, box) in enumerate(boxes.items()):
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        if box is not None:
            left, top, width, height = box
            corners = [left, top, left + width, top, left + width, top + height, left, top + height]
            drawn.append(
                {
                    **{"id": len(drawn), "image_id": number, "category_id": 1, "bbox": [*box], "iscrowd": 0},
                    "segmentation": [] if as_boxes else [corners],
                }
            )
    return {"images": images, "annotations": drawn, "categories": [{"id": 1, "name": "scratch"}]}


def drawn(plates: Plates, folder: str, count: int = 8) -> dict[str, Box | None]:
    """Good and bad plates in a folder: the blots by the names of the files."""
    found: dict[str, Box | None] = {}
    for name in numbered(folder, count):
        plates.good(name)
        found[Path(name).name] = None
    for name in numbered(folder, count, start=100):
        found[Path(name).name] = plates.bad(name)
    return found


def coco_json(folder: Path) -> None:
    plates = Plates(folder)
    for split in ("train", "val", "test"):
        plates.json(f"annotations/instances_{split}.json", coco(drawn(plates, f"images/{split}")))


def roboflow_coco(folder: Path) -> None:
    plates = Plates(folder)
    for split in ("train", "valid", "test"):
        plates.json(f"{split}/_annotations.coco.json", coco(drawn(plates, split), as_boxes=True))
    plates.text("README.roboflow.txt", "exported\n")


def yolo_line(box: Box) -> str:
    left, top, width, height = box
    centre = (left + width / 2) / WIDTH, (top + height / 2) / HEIGHT
    return f"0 {centre[0]} {centre[1]} {width / WIDTH} {height / HEIGHT}\n"


def yolo_texts(plates: Plates, images: str, labels: str) -> None:
    for name, box in drawn(plates, images).items():
        plates.text(f"{labels}/{Path(name).stem}.txt", "" if box is None else yolo_line(box))


def yolo(folder: Path) -> None:
    plates = Plates(folder)
    for split in ("train", "val", "test"):
        yolo_texts(plates, f"images/{split}", f"labels/{split}")
    plates.text("data.yaml", "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: scratch\n")


def roboflow_yolo(folder: Path) -> None:
    plates = Plates(folder)
    for split in ("train", "valid", "test"):
        yolo_texts(plates, f"{split}/images", f"{split}/labels")
    plates.text("data.yaml", "train: ../train/images\nval: ../valid/images\n\nnc: 1\nnames: ['scratch']\n")


def voc_xml(name: str, box: Box | None) -> str:
    left, top, width, height = box or (0, 0, 0, 0)
    edges = {"xmin": left + 1, "ymin": top + 1, "xmax": left + width, "ymax": top + height}
    inside = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges.items())
    objects = f"<object><name>scratch</name><bndbox>{inside}</bndbox></object>" if box else ""
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{size}{objects}</annotation>"


def voc(folder: Path) -> None:
    plates = Plates(folder)
    found = drawn(plates, "JPEGImages", 24)
    for name, box in found.items():
        plates.text(f"Annotations/{Path(name).stem}.xml", voc_xml(name, box))
    for number, split in enumerate(("train", "val", "test")):
        plates.text(f"ImageSets/Main/{split}.txt", "".join(f"{Path(name).stem}\n" for name in [*found][number::3]))


def labelme_json(name: str, box: Box, kind: str = "polygon") -> dict[str, object]:
    left, top, width, height = box
    ends = [[left, top], [left + width, top + height]]
    corners = [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]
    shape = {"label": "scratch", "points": corners if kind == "polygon" else ends, "shape_type": kind}
    return {"version": "5.5", "shapes": [shape], "imagePath": name, "imageHeight": HEIGHT, "imageWidth": WIDTH}


def labelme(folder: Path) -> None:
    plates = Plates(folder)
    for split in ("train", "val", "test"):
        for name, box in drawn(plates, split).items():
            if box is not None:
                plates.json(f"{split}/{Path(name).stem}.json", labelme_json(name, box))


EVERY: dict[str, Callable[[Path], None]] = {
    one.__name__: one
    for one in (
        *(visa, mvtec_loco, mvtec_ad2, btad, ok_ng, ok_ng_in_splits, castings, labels_csv),
        *(coco_json, roboflow_coco, yolo, roboflow_yolo, voc, labelme),
    )
}
"""Functions that write a set for training into a folder, by the name of the layout."""


def box_of(truth: np.ndarray) -> Box:
    """Left, top, width and height of what a truth [H, W] marks."""
    left, top, width, height = cv2.boundingRect(truth)
    assert int((truth > 0).sum()) == width * height, "not a rectangle"
    return left, top, width, height
