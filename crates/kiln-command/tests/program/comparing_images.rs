//! Pictures compared with pictures, and votes on them.

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use serde_json::Value;

use crate::session::{Session, json};

fn level(x: u32, y: u32, shift: f64) -> f64 {
    let (x, y) = (f64::from(x), f64::from(y));
    0.5 + 0.3 * (0.31 * x + 0.17 * y).sin() + shift * (2.1 * x - 1.3 * y).sin()
}

fn byte(value: f64) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// A grey picture with fine stripes of the given strength.
fn grey(session: &Session, name: &str, [width, height]: [u32; 2], stripes: f64) {
    let picture = GrayImage::from_fn(width, height, |x, y| Luma([byte(level(x, y, stripes))]));
    save(session, name, picture.into());
}

fn colour(session: &Session, name: &str, side: u32, stripes: f64) {
    let picture = RgbImage::from_fn(side, side, |x, y| {
        let level = byte(level(x, y, stripes));
        Rgb([level, 255 - level, level / 2])
    });
    save(session, name, picture.into());
}

fn save(session: &Session, name: &str, picture: DynamicImage) {
    let path = session.file(name, "");
    picture.save_with_format(path, ImageFormat::Png).unwrap();
}

#[track_caller]
fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn two_pictures_get_a_table_and_a_picture_of_their_differences() {
    let session = Session::new();
    colour(&session, "original.png", 170, 0.1);
    colour(&session, "smooth.png", 170, 0.05);
    let printed = session.kiln("compare-images original.png smooth.png --out differences").succeeds();
    for word in ["smooth.png", "SSIM", "MS-SSIM", "PSNR (dB)", "GMSD", "differences: differences"] {
        assert!(printed.out.contains(word), "{word} in\n{}", printed.out);
    }
    let sheet = image::open(session.path().join("differences/smooth.png.png")).unwrap().to_rgb8();
    assert_eq!(sheet.dimensions(), (4 * 170 + 12, 170));
    let original = image::open(session.path().join("original.png")).unwrap().to_rgb8();
    assert_eq!(sheet.get_pixel(30, 40), original.get_pixel(30, 40));
    // Where the window leaves the picture, there is no similarity.
    assert_eq!(sheet.get_pixel(2 * 174 + 2, 80), &Rgb([128, 128, 128]));
}

#[test]
fn equal_pictures_are_one_and_different_ones_less() {
    let session = Session::new();
    grey(&session, "a.png", [180, 165], 0.1);
    grey(&session, "b.png", [180, 165], 0.03);
    let same = json(&session.kiln("compare-images a.png a.png --json").succeeds().out);
    assert_eq!(same["pictures"][0]["psnr"], Value::Null);
    for (name, expected) in [("ssim", 1.0), ("ms_ssim", 1.0), ("gmsd", 0.0)] {
        assert!((number(&same["mean"], name) - expected).abs() < 1e-6, "{same}");
    }
    let found = json(&session.kiln("compare-images a.png b.png --json").succeeds().out);
    let found = &found["pictures"][0];
    // By scikit-image: structural_similarity with a Gaussian window and without the sample covariance, and
    // peak_signal_noise_ratio; by pytorch-msssim.
    for (name, expected, tolerance) in
        [("ssim", 0.893_191, 1e-4), ("ms_ssim", 0.993_009, 1e-5), ("psnr", 26.104_28, 1e-3)]
    {
        assert!((number(found, name) - expected).abs() < tolerance, "{name} is not {expected}: {found}");
    }
}

#[test]
fn equal_pictures_leave_the_mean_of_the_others_and_are_counted() {
    let session = Session::new();
    for (name, stripes) in [("1.png", 0.1), ("2.png", 0.05), ("3.png", 0.02)] {
        grey(&session, &format!("a/{name}"), [64, 48], 0.1);
        grey(&session, &format!("b/{name}"), [64, 48], stripes);
    }
    let line = "compare-images a b --scales 1";
    let found = json(&session.kiln(&format!("{line} --json")).succeeds().out);
    let pictures = found["pictures"].as_array().unwrap();
    assert_eq!(pictures[0]["psnr"], Value::Null);
    let expected = (number(&pictures[1], "psnr") + number(&pictures[2], "psnr")) / 2.0;
    assert!((number(&found["mean"], "psnr") - expected).abs() < 1e-9, "{found}");
    assert_eq!(found["mean"]["psnr_pictures"], 2);
    let shown = session.kiln(line).succeeds().out;
    assert!(shown.contains("inf") && shown.contains(&format!("{expected:.2}")), "{shown}");
    assert!(shown.contains("the mean PSNR is that of 2 of 3 pictures: of equal ones, PSNR is infinite"), "{shown}");

    let equal = json(&session.kiln("compare-images a a --scales 1 --json").succeeds().out);
    assert_eq!((&equal["mean"]["psnr"], &equal["mean"]["psnr_pictures"]), (&Value::Null, &0.into()));
    let shown = session.kiln("compare-images a a --scales 1").succeeds().out;
    assert!(shown.contains("inf") && !shown.contains("of 3 pictures"), "{shown}");
}

#[cfg(unix)]
#[test]
fn names_that_are_no_unicode_are_shown_as_far_as_they_can_be() {
    use std::os::unix::ffi::OsStrExt;

    let session = Session::new();
    grey(&session, "a.png", [64, 48], 0.1);
    let odd = std::ffi::OsStr::from_bytes(b"b-\xff.png");
    std::fs::copy(session.path().join("a.png"), session.path().join(odd)).unwrap();
    let output = session.command("compare-images --scales 1 --json a.png").arg(odd).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!((&found["pictures"][0]["a"], &found["pictures"][0]["b"]), (&"a.png".into(), &"b-\u{fffd}.png".into()));
}

#[test]
fn folders_are_matched_by_name_and_averaged() {
    let session = Session::new();
    for (name, stripes) in [("1.png", 0.1), ("2.png", 0.2)] {
        grey(&session, &format!("originals/{name}"), [64, 48], stripes);
        grey(&session, &format!("restored/{name}"), [64, 48], 0.5 * stripes);
    }
    grey(&session, "originals/3.png", [64, 48], 0.1);
    let line = "compare-images originals restored --window 7 --scales 3 --json";
    let found = json(&session.kiln(line).succeeds().out);
    let pictures = found["pictures"].as_array().unwrap();
    assert_eq!(pictures.len(), 2);
    let mean = (number(&pictures[0], "ms_ssim") + number(&pictures[1], "ms_ssim")) / 2.0;
    assert!((number(&found["mean"], "ms_ssim") - mean).abs() < 1e-9);
    assert!(number(&pictures[0], "ssim") > number(&pictures[1], "ssim"));

    grey(&session, "restored/4.png", [64, 48], 0.1);
    let printed = session.kiln(line);
    assert_eq!(printed.code, 1);
    assert!(
        printed.message().contains("originals: there is no picture 4.png for restored/4.png"),
        "{}",
        printed.message()
    );
}

#[test]
fn pictures_that_cannot_be_compared_are_refused() {
    let session = Session::new();
    grey(&session, "a.png", [64, 48], 0.1);
    grey(&session, "wide.png", [65, 48], 0.1);
    colour(&session, "colour.png", 64, 0.1);
    let deep = image::ImageBuffer::from_fn(64, 48, |x, y| Luma([u16::from(byte(level(x, y, 0.1))) * 257]));
    save(&session, "deep.png", DynamicImage::ImageLuma16(deep));
    let glass = RgbaImage::from_pixel(64, 48, Rgba([1, 2, 3, 128]));
    save(&session, "glass.png", glass.into());
    session.file("broken.png", "no picture");
    session.file("folder/note.txt", "no picture");
    let cases = [
        ("a.png wide.png --scales 1", 1, "a.png has 64 x 48 pixels, grey of 8 bits, and wide.png has 65 x 48 pixels"),
        ("a.png colour.png", 1, "colour.png has 64 x 64 pixels, red, green and blue of 8 bits"),
        ("a.png deep.png", 1, "deep.png has 64 x 48 pixels, grey of 16 bits"),
        ("a.png glass.png", 1, "glass.png: found transparent parts"),
        ("a.png broken.png", 1, "broken.png: found an unreadable picture"),
        ("a.png nothing.png", 2, "nothing.png: there is no such file or folder"),
        ("a.png folder", 2, "folder is a folder and a.png is a file"),
        ("folder folder", 2, "folder: there are no pictures in this folder"),
        ("a.png", 2, "required arguments were not provided"),
        ("a.png a.png --window 4", 2, "--window 4: ssim: window size = 4 is out of range, it must be odd"),
        ("a.png a.png --window 18446744073709551615", 2, "it must be at most 1023 pixels"),
        ("a.png a.png --scales 6", 2, "6 is not in 1..=5"),
        (
            "a.png a.png",
            2,
            "images of 48 x 64 have no room for a window of 11 at 5 scale(s): every side must be at least 161",
        ),
        ("a.png a.png", 2, "try --scales 3, or a smaller --window"),
        ("a.png a.png --window 65", 2, "try --scales 1 --window 11"),
        ("a.png a.png --reference a.png", 2, "--vote"),
        ("a.png a.png --vote ballot --out folder", 2, "'--vote <DIR>' cannot be used with '--out <DIR>'"),
        ("a.png a.png --vote ballot --scales 3", 2, "'--vote <DIR>' cannot be used with '--scales <N>'"),
        ("a.png a.png --vote ballot --window 7", 2, "'--vote <DIR>' cannot be used with '--window <PIXELS>'"),
        ("--vote folder --score votes.json --out folder", 2, "cannot be used with"),
        ("--vote folder --score votes.json --seed 2", 2, "cannot be used with"),
        ("a.png a.png --seed 2", 2, "--vote <DIR>"),
        ("a.png a.png --vote ballot --reference nothing", 2, "--reference nothing: there is no such file or folder"),
        ("a.png a.png --vote ballot --reference wide.png", 1, "wide.png has 65 x 48 pixels"),
        ("--score votes.json", 2, "--vote"),
        ("--vote folder --score votes.json", 2, "there is no key.json in this folder"),
    ];
    for (arguments, code, part) in cases {
        let printed = session.kiln(&format!("compare-images {arguments}"));
        assert_eq!(printed.code, code, "{arguments}: {}", printed.message());
        assert!(printed.message().contains(part), "{arguments}: {}", printed.message());
    }
    assert!(!session.path().join("ballot").exists(), "a ballot that was refused left something behind");
}

#[test]
fn a_ballot_hides_which_picture_is_whose_and_counts_the_votes() {
    let session = Session::new();
    for picture in 0..8 {
        let name = |folder: &str| format!("{folder}/scene{picture}.png");
        grey(&session, &name("originals"), [24, 20], 0.1);
        grey(&session, &name("ours"), [24, 20], 0.08);
        grey(&session, &name("theirs"), [24, 20], 0.01 * f64::from(picture));
    }
    session.kiln("compare-images ours theirs --reference originals --vote ballot").succeeds();
    let page = std::fs::read_to_string(session.path().join("ballot/vote.html")).unwrap();
    for word in ["ours", "theirs", "scene", "http://", "https://"] {
        assert!(!page.contains(word), "the page names {word}");
    }
    let key = json(&std::fs::read_to_string(session.path().join("ballot/key.json")).unwrap());
    let trials = key["trials"].as_array().unwrap();
    let sides: Vec<bool> = trials.iter().map(|trial| trial["a_is_left"].as_bool().unwrap()).collect();
    assert_eq!(sides.len(), 8);
    assert_eq!(sides.iter().filter(|&&a_is_left| a_is_left).count(), 4, "{sides:?}");
    let ballot = key["ballot"].as_str().unwrap();
    assert!(page.contains(ballot));

    // Everybody prefers A, but for one vote.
    let side = |a: bool, a_is_left: bool| if a == a_is_left { "left" } else { "right" };
    let votes: Vec<&str> = sides.iter().enumerate().map(|(at, &a_is_left)| side(at != 3, a_is_left)).collect();
    let of_voter = |voter: &str, ballot: &str, votes: &[&str]| {
        serde_json::json!({ "ballot": ballot, "voter": voter, "votes": votes }).to_string()
    };
    let file = |ballot: &str, votes: &[&str]| of_voter("one", ballot, votes);
    session.file("votes.json", file(ballot, &votes));
    session.file("copy.json", file(ballot, &votes));
    session.file("others.json", of_voter("another", ballot, &votes));
    let counted =
        json(&session.kiln("compare-images --vote ballot --score votes.json others.json --json").succeeds().out);
    assert_eq!((counted["a"].as_u64(), counted["b"].as_u64()), (Some(14), Some(2)));
    assert_eq!(counted["people"].as_array().unwrap().len(), 2);
    let printed = session.kiln("compare-images --vote ballot --score votes.json").succeeds().out;
    assert!(printed.contains("B was chosen in 12.5 % of the votes"), "{printed}");

    for (name, text, part) in [
        ("other.json", file("0123", &votes), "these votes are of ballot 0123"),
        ("short.json", file(ballot, &votes[1..]), "there are 7 votes for 8 choices"),
        ("wrong.json", file(ballot, &["middle"; 8]), "middle"),
        ("broken.json", "{".to_string(), "broken.json is not a valid file of votes"),
    ] {
        session.file(name, text);
        let printed = session.kiln(&format!("compare-images --vote ballot --score {name}"));
        assert_eq!(printed.code, 1, "{name}: {}", printed.message());
        assert!(printed.message().contains(part), "{name}: {}", printed.message());
    }
    assert_eq!(session.kiln("compare-images --vote ballot --score none.json").code, 1);
    for (files, part) in [
        ("votes.json others.json ./votes.json", "--score ./votes.json: this file is named twice"),
        ("votes.json copy.json", "--score copy.json: these are votes of the same person as those in votes.json"),
    ] {
        let printed = session.kiln(&format!("compare-images --vote ballot --score {files}"));
        assert_eq!(printed.code, 2, "{files}: {}", printed.message());
        assert!(printed.message().contains(part), "{files}: {}", printed.message());
    }

    // Another ballot in its place would make these votes worthless.
    let printed = session.kiln("compare-images ours theirs --vote ballot");
    assert_eq!(printed.code, 2, "{}", printed.message());
    assert!(printed.message().contains("there is a ballot in this folder already"), "{}", printed.message());
    session.file("empty/key.json", serde_json::json!({ "ballot": ballot, "trials": [] }).to_string());
    session.file("none.json", file(ballot, &[]));
    let printed = session.kiln("compare-images --vote empty --score none.json");
    assert_eq!(printed.code, 1, "{}", printed.message());
    assert!(printed.message().contains("there are no choices in this key"), "{}", printed.message());
}

#[test]
fn the_order_of_a_ballot_is_decided_by_its_seed_or_by_chance() {
    let session = Session::new();
    for picture in 0..20 {
        grey(&session, &format!("ours/{picture}.png"), [8, 8], 0.1);
        grey(&session, &format!("theirs/{picture}.png"), [8, 8], 0.02);
    }
    let key = |folder: &str, seed: &str| {
        session.kiln(&format!("compare-images ours theirs --vote {folder} {seed}")).succeeds();
        json(&std::fs::read_to_string(session.path().join(folder).join("key.json")).unwrap())["trials"].clone()
    };
    assert_eq!(key("a", "--seed 7"), key("b", "--seed 7"));
    assert_ne!(key("c", "--seed 8"), key("d", ""));
    // 20! orders: two of a kind are no accident.
    assert_ne!(key("e", ""), key("f", ""));
}
