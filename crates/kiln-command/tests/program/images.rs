//! Networks that give pictures: trained, judged, asked, resumed, and what is refused.

use std::path::Path;

use serde_json::Value;

use crate::session::{DATA, Session, json, table};

fn number(figures: &Value, name: &str) -> f64 {
    figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {figures}"))
}

/// A picture of smooth shapes as bytes of a PNG.
fn drawn(width: u32, height: u32, seed: u32, colour: bool) -> Vec<u8> {
    let level = |x: u32, y: u32, phase: f32| {
        let (x, y, seed) = (x as f32, y as f32, seed as f32);
        (127.5 + 90.0 * (0.25 * x + seed + phase).sin() * (0.2 * y - seed).cos()) as u8
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = if colour {
        let pixel = |x, y| image::Rgb([level(x, y, 0.0), level(x, y, 1.0), level(x, y, 2.0)]);
        image::DynamicImage::ImageRgb8(image::RgbImage::from_fn(width, height, pixel))
    } else {
        image::DynamicImage::ImageLuma8(image::GrayImage::from_fn(width, height, |x, y| {
            image::Luma([level(x, y, 0.0)])
        }))
    };
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A folder `pictures` with drawn pictures of several sizes.
fn gallery(colour: bool) -> Session {
    let session = Session::new();
    for at in 0..12 {
        session.file(&format!("pictures/{at:02}.png"), drawn(40 + at, 36 + at, at, colour));
    }
    session
}

/// The repository's photographs.
fn photographs() -> String {
    Path::new(DATA).join("photos").display().to_string()
}

fn dimensions(path: &Path) -> (u32, u32, bool) {
    let picture = image::open(path).unwrap();
    (picture.width(), picture.height(), picture.color().has_color())
}

#[test]
fn photographs_are_learnt_judged_and_given_back() {
    let session = Session::new();
    let photos = photographs();
    let line = format!(
        "train --task autoencode --data {photos} --grey --crop 32 --model autoencoder:hidden=64,code=16 --epochs 3 \
         --watch filters --json"
    );
    let summary = json(&session.kiln(&line).succeeds().out);
    assert_eq!((&summary["window"], &summary["loss"]), (&serde_json::json!([1, 32, 32]), &"mse".into()));
    let test = &summary["test"];
    // The mean grey of photographs gives about 11 dB, and no structure.
    assert!(number(test, "psnr") > 14.0 && number(test, "ssim") > 0.15 && number(test, "gmsd") > 0.0, "{summary}");
    let run = session.run("train");
    for file in [
        "artifacts/pictures.png",
        "artifacts/train/seed/pictures-epoch-0001.png",
        "artifacts/train/seed/pictures-epoch-0003.png",
        "artifacts/train/seed/filters-epoch-0003.png",
    ] {
        assert!(run.join(file).exists(), "{file}");
    }
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    for name in ["validation/loss", "validation/psnr", "validation/ssim", "validation/ms-ssim", "validation/gmsd"] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    let judged = json(&session.kiln(&format!("evaluate train {photos} --json")).succeeds().out);
    assert_eq!((&judged["rows_used"], &judged["data_changed"]), (&"test".into(), &false.into()));
    for figure in ["psnr", "psnr_pictures", "ssim", "ms_ssim", "gmsd", "pictures"] {
        assert_eq!(judged[figure], test[figure], "{figure}");
    }
    assert!((1..=16).contains(&judged["active_units"].as_u64().unwrap()), "{judged}");
    assert_eq!(judged["code_units"], 16);
    let shown = session.kiln(&format!("evaluate train {photos}/camera.png")).succeeds().out;
    for part in
        ["all 1 pictures", "PSNR (dB)", "MS-SSIM", "GMSD", "active numbers of the code", " of 16", "pictures.png"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    session.file("one.png", drawn(70, 40, 3, true));
    let said = session.kiln(&format!("predict train one.png {photos}/camera.png --to out")).succeeds().out;
    assert!(said.contains("2 pictures in out"), "{said}");
    assert_eq!(dimensions(&session.path().join("out/one.png")), (64, 32, false));
    let codes = session.kiln("predict train one.png --codes").succeeds().out;
    let lines: Vec<&str> = codes.lines().collect();
    assert!(lines[0].starts_with("picture,top,left,code 1,") && lines[0].ends_with(",code 16"), "{codes}");
    assert!(
        lines.len() == 3 && lines[1].starts_with("one.png,4,3,") && lines[2].starts_with("one.png,4,35,"),
        "{codes}"
    );
    let codes = session.kiln("predict train one.png --codes --format jsonl").succeeds().out;
    let code = json(codes.lines().next().unwrap());
    assert_eq!(code["code"].as_array().unwrap().len(), 16);
}

#[test]
fn a_training_that_diverges_fails_whatever_the_loss() {
    let session = gallery(false);
    for loss in ["ms-ssim", "ms-ssim:form=log", "ms-ssim:variant=per-pixel", "ssim", "mse"] {
        let line = format!(
            "train --task autoencode --data pictures --crop 16 --model autoencoder:hidden=8-8,code=4 --optimizer sgd \
             --lr 1e30 --epochs 3 --loss {loss}"
        );
        let printed = session.kiln(&line);
        assert_eq!(printed.code, 1, "{loss}: {} {}", printed.out, printed.message());
        assert!(printed.message().contains("training diverged: the loss is NaN"), "{loss}: {}", printed.message());
    }
}

#[test]
fn what_is_read_is_never_written_over() {
    let session = gallery(false);
    session.kiln("train --task autoencode --data pictures --crop 16 --epochs 1").succeeds();
    let before = std::fs::read(session.path().join("pictures/00.png")).unwrap();
    let files = |folder: &str| std::fs::read_dir(session.path().join(folder)).unwrap().count();
    std::fs::create_dir(session.path().join("links")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../pictures/03.png", session.path().join("links/11.png")).unwrap();
    session.file("own.csv", table(60));
    for (line, named) in [
        ("predict train pictures --to pictures", "pictures/00.png"),
        ("predict train pictures/00.png --to ./links/../pictures", "00.png"),
        ("predict train pictures/05.png pictures/00.png --to pictures", "05.png"),
        #[cfg(unix)]
        ("predict train pictures --to links", "links/11.png"),
        ("predict train pictures --codes --to pictures/02.png", "pictures/02.png"),
    ] {
        let printed = session.kiln(line);
        assert_eq!(printed.code, 2, "{line}: {}", printed.message());
        let expected = format!("{named} is read, and would be written over");
        assert!(printed.message().contains(&expected), "{line}: {}", printed.message());
    }
    assert_eq!((files("pictures"), std::fs::read(session.path().join("pictures/00.png")).unwrap()), (12, before));
    assert!(files("links") <= 1);
    // Another file of the same folder is nobody's input.
    session.kiln("predict train pictures/00.png --to other").succeeds();
    session.kiln("predict train other/00.png --to more").succeeds();

    session.kiln("train --data own.csv --epochs 1").succeeds();
    let printed = session.kiln("predict train own.csv --to ./own.csv");
    assert!(printed.code == 2 && printed.message().contains("own.csv is read"), "{}", printed.message());
    assert_eq!(std::fs::read_to_string(session.path().join("own.csv")).unwrap(), table(60));
}

#[test]
fn a_picture_that_cannot_be_read_leaves_nothing_of_the_others() {
    let session = gallery(false);
    session.kiln("train --task autoencode --data pictures --crop 16 --epochs 1").succeeds();
    session.file("new/1.png", drawn(40, 40, 1, false));
    session.file("new/2.png", &drawn(40, 40, 2, false)[..200]);
    let printed = session.kiln("predict train new --to out");
    assert!(printed.code == 1 && printed.message().contains("2.png: found an unreadable picture"), "{printed:?}");
    assert!(!session.path().join("out").exists());
    let hidden = std::fs::read_dir(session.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(hidden.into_iter().all(|name| !name.to_string_lossy().starts_with('.')));

    let glass = image::RgbaImage::from_pixel(40, 40, image::Rgba([200, 100, 50, 128]));
    glass.save(session.path().join("new/2.png")).unwrap();
    let printed = session.kiln("predict train new --to out");
    assert!(printed.code == 1 && printed.message().contains("2.png: found transparent parts"), "{printed:?}");
    let deep = image::ImageBuffer::from_pixel(40, 40, image::Luma([300_u16]));
    image::DynamicImage::ImageLuma16(deep).save(session.path().join("new/2.png")).unwrap();
    session.kiln("predict train new --to out").succeeds();
    assert_eq!(dimensions(&session.path().join("out/2.png")), (32, 32, false));
}

#[cfg(unix)]
#[test]
fn a_folder_whose_name_is_no_unicode_takes_pictures() {
    use std::os::unix::ffi::OsStrExt;

    let session = gallery(false);
    session.kiln("train --task autoencode --data pictures --crop 16 --epochs 1").succeeds();
    let folder = std::ffi::OsStr::from_bytes(b"out-\xff");
    let mut command = session.command("predict train pictures/00.png --json --to");
    let output = command.arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(said["pictures"][0], "out-\u{fffd}/00.png");
    assert!(session.path().join(folder).join("00.png").is_file());
}

#[test]
fn pictures_of_any_size_become_larger_and_sharper_than_by_interpolation() {
    let session = gallery(true);
    let photos = photographs();
    let line = format!(
        "train --task upscale --data {photos} --image-size 96x96 --crop 24 --factor 2 --model srcnn:channels=16-8 \
         --epochs 15 --lr 0.003 --batch-size 4 --json"
    );
    let summary = json(&session.kiln(&line).succeeds().out);
    assert_eq!((&summary["loss"], &summary["window"]), (&"mse".into(), &serde_json::json!([1, 24, 24])));
    let (test, bicubic) = (&summary["test"], &summary["bicubic"]);
    assert!(number(test, "psnr") > number(bicubic, "psnr") + 0.5, "{summary}");
    assert!(
        number(test, "ssim") > number(bicubic, "ssim") && number(test, "gmsd") < number(bicubic, "gmsd"),
        "{summary}"
    );
    let judged = json(&session.kiln(&format!("evaluate train {photos} --json")).succeeds().out);
    assert_eq!((&judged["psnr"], &judged["bicubic"]), (&test["psnr"], bicubic));
    let shown = session.kiln("evaluate train pictures/03.png").succeeds().out;
    assert!(shown.contains("network") && shown.contains("bicubic") && shown.contains("all 1 pictures"), "{shown}");
    session.file("grey.png", drawn(9, 7, 1, false));
    session.kiln("predict train pictures/03.png grey.png --to large").succeeds();
    assert_eq!(dimensions(&session.path().join("large/03.png")), (86, 78, true));
    assert_eq!(dimensions(&session.path().join("large/grey.png")), (18, 14, false));
}

#[test]
fn every_loss_and_model_learns() {
    for arguments in [
        "--loss mae",
        "--loss ssim",
        "--loss ms-ssim:share=0.84",
        "--model conv-autoencoder:channels=4-8,code=12 --loss ms-ssim",
        "--model vae:hidden=32,code=8",
        "--model conv-vae:channels=4-8,code=8 --loss el-vae:of=ms-ssim,c=200",
    ] {
        let session = Session::new();
        let line = format!("train --task autoencode --data digits --epochs 2 --lr 0.003 --json {arguments}");
        let summary = json(&session.kiln(&line).succeeds().out);
        let epochs = std::fs::read_to_string(session.run("train").join("checkpoints/epochs.jsonl")).unwrap();
        let losses: Vec<f64> = epochs.lines().map(|epoch| number(&json(epoch), "train_loss")).collect();
        assert!(losses[1] < losses[0], "{arguments}: {losses:?}");
        let judged = json(&session.kiln("evaluate train digits --json").succeeds().out);
        assert_eq!(judged["psnr"], summary["test"]["psnr"], "{arguments}");
    }
}

#[test]
fn a_killed_training_goes_on_to_the_same_bytes() {
    for model in ["vae:hidden=16,code=4", "conv-autoencoder:channels=4-8,code=8"] {
        let line = format!(
            "train --task autoencode --data pictures --crop 16 --model {model} --augment flip --batch-size 2 --epochs 12 \
             --schedule cosine --watch filters"
        );
        let (interrupted, whole) = (gallery(false), gallery(false));
        let run = interrupted.killed(&line);
        interrupted.kiln("resume train").succeeds();
        whole.kiln(&line).succeeds();
        for file in [
            "model.safetensors",
            "model.toml",
            "metrics.jsonl",
            "artifacts/loss.json",
            "artifacts/pictures.png",
            "artifacts/train/seed/pictures-epoch-0012.png",
        ] {
            let read = |run: &Path| std::fs::read(run.join(file)).unwrap();
            assert!(read(&run) == read(&whole.run("train")), "{model}: {file} differs");
        }
    }
}

#[test]
fn one_picture_in_colour_makes_all_pictures_of_colour_and_says_so() {
    let session = gallery(false);
    session.file("pictures/colour.png", drawn(48, 48, 1, true));
    let line = "train --task autoencode --data pictures --crop 16 --epochs 1";
    let printed = session.kiln(line).succeeds();
    assert!(printed.error.contains("12 of 13 pictures are grey"), "{}", printed.error);
    assert!(printed.out.contains("16 x 16 an epoch, colour"), "{}", printed.out);
}

#[test]
fn what_no_picture_can_be_learnt_from_is_refused() {
    let session = gallery(true);
    session.file("own.csv", table(60));
    for at in 0..6 {
        session.file(&format!("small/{at}.png"), drawn(4, 4, at, false));
        session.file(&format!("even/{at}.png"), drawn(20, 20, at, false));
        session.file(&format!("broken/{at}.png"), drawn(20, 20, at, false));
    }
    session.file("broken/3.png", &drawn(20, 20, 3, false)[..200]);
    session.file("few/1.png", drawn(20, 20, 1, false));
    for (arguments, code, expected) in [
        ("--task autoencode --data pictures", 1, "such as --crop 32, or bring all pictures to one size"),
        ("--task autoencode --data pictures --crop 64", 2, "`crop` cannot be `64`: at most"),
        ("--task autoencode --data pictures --crop 0", 2, "`crop` cannot be `0`: at least 1"),
        ("--task autoencode --data broken", 1, "3.png: found an unreadable picture"),
        ("--task autoencode --data few", 1, "the test split is empty: 1 rows in all"),
        ("--task autoencode --data own.csv", 1, "found rows of a table, expected a folder of picture files"),
        ("--task autoencode --data iris", 1, "expected a folder of picture files"),
        ("--task autoencode --data missing", 2, "no data set, file or folder `missing`"),
        ("--task autoencod --data even", 2, "regress, language-model, autoencode or upscale is needed"),
        ("--task autoencode --data even --factor 2", 2, "`factor` cannot be `2`: left out"),
        ("--task autoencode --data even --target y", 2, "`target` cannot be `y`: left out"),
        ("--task autoencode --data even --context 3", 2, "`context` cannot be `3`: left out"),
        ("--task autoencode --data even --label-noise uniform:0.2", 2, "pictures come out, and they have no columns"),
        ("--task autoencode --data even --output-layer hierarchical", 2, "dense: a picture comes out"),
        ("--task autoencode --data even --loss z-loss", 2, "for pictures there are: mse, mae, ssim, ms-ssim, el-vae"),
        ("--task autoencode --data even --loss huber", 2, "for pictures there are: mse, mae, ssim, ms-ssim, el-vae"),
        ("--task autoencode --data even --loss ms-sim", 2, "did you mean 'ms-ssim'?"),
        ("--task autoencode --data even --loss ms-ssim:scales=4,window=5", 2, "at least 33"),
        ("--task autoencode --data even --loss ssim:window=31", 2, "at least 31"),
        ("--task autoencode --data even --loss el-vae", 2, "it is for the models vae and conv-vae"),
        ("--task autoencode --data even --model vae --loss mse", 2, "a variational autoencoder learns by el-vae"),
        ("--task autoencode --data even --model srcnn", 2, "there are: autoencoder, conv-autoencoder, vae, conv-vae"),
        ("--task autoencode --data even --model autoencoder:code=0", 2, "code = 0 is out of range"),
        ("--task autoencode --data even --watch sharpness", 2, "for these there are: filters"),
        ("--task autoencode --data even --augment cutout:size=50", 2, "size=50 hides pictures of 20x20 whole"),
        ("--task upscale --data even --factor 5", 2, "`factor` cannot be `5`: 2, 3 or 4"),
        ("--task upscale --data small --factor 3 --crop 4", 2, "`crop` cannot be `4`: a multiple of the factor 3"),
        ("--task upscale --data even --grey", 2, "`grey` cannot be `true`: left out"),
        ("--task upscale --data even --model mlp", 2, "for a larger picture there are: srcnn"),
        ("--task upscale --data even --model srcnn:kernels=9-2-5", 2, "kernels = 2 is out of range: odd sides"),
        ("--data even --crop 8", 2, "`crop` cannot be `8`: left out"),
        ("--data digits --grey", 2, "`grey` cannot be `true`: left out"),
    ] {
        let printed = session.kiln(&format!("train --epochs 1 {arguments}"));
        assert_eq!(printed.code, code, "{arguments}: {}", printed.message());
        assert!(printed.message().contains(expected), "{arguments}: {}", printed.message());
        assert!(!session.path().join("runs").exists(), "{arguments} left a run");
    }
}

#[test]
fn a_model_of_pictures_is_asked_about_pictures_alone() {
    let session = gallery(true);
    session.file("own.csv", table(60));
    session.file("tiny.png", drawn(3, 2, 0, true));
    session.file("file", "x");
    let refused = |line: &str, code: i32, expected: &str| {
        let printed = session.kiln(line);
        assert_eq!(printed.code, code, "{line}: {}", printed.message());
        assert!(printed.message().contains(expected), "{line}: {}", printed.message());
    };
    session.kiln("train --task autoencode --data pictures --crop 16 --epochs 1").succeeds();
    refused("evaluate train own.csv", 1, "expected a folder of picture files");
    refused("evaluate train tiny.png", 1, "tiny.png: 2 x 3 pixels, and the model takes windows of 16 x 16");
    refused("predict train pictures", 2, "name a folder for them with --to DIR");
    refused("predict train pictures --to file", 2, "--to file: a folder is needed");
    refused("predict train pictures --top 3", 2, "--top 3: the model is no language model");
    refused("predict train tiny.png --to out", 1, "tiny.png: 2 x 3 pixels");
    assert!(!session.path().join("out").exists());
    session
        .kiln("train --task upscale --data pictures --crop 16 --factor 4 --model srcnn:channels=2-2 --epochs 1")
        .succeeds();
    refused("predict train pictures --codes", 2, "--codes: an upscaler has no codes");
    refused("evaluate train tiny.png", 1, "tiny.png: 2 x 3 pixels are less than the factor 4");
    session.kiln("train --data own.csv --epochs 1").succeeds();
    refused("predict train own.csv --codes", 2, "--codes: the model is no autoencoder");
    refused("predict train own.csv own.csv", 2, "own.csv: one file or folder at a time");
}
