// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "limn/datasets/caption.h"
#include "limn/datasets/datasets_testing.h"
#include "limn/datasets/sources.h"

namespace limn::datasets {
namespace {

using AddPictures = DataSet;

TEST_F(AddPictures, TakesCaptionsFromWhereTheyAre) {
  write(in / "a.png", picture(1));
  write(in / "a.txt", "  a cat\n on   a mat ");
  write(in / "b.png", picture(2));
  write(in / "b.json",
        R"({"caption": "a dog", "licence": "MIT", "attribution": "Ann", "people": "none", "source": "box"})");
  const std::vector<TextEntry> texts{{"parameters", "a bird\nSteps: 20, Sampler: Euler a, Seed: 1"}};
  write(in / "c.png", picture(3, 40, 32, texts));
  write(in / "d.png", picture(4));
  EXPECT_EQ(add().added, 4);
  const auto found = rows();
  EXPECT_EQ(found[0].caption, "a cat on a mat");
  EXPECT_EQ(found[0].caption_origin, "file");
  EXPECT_EQ(found[0].licence, "CC0-1.0");
  EXPECT_EQ(found[1].caption, "a dog");
  EXPECT_EQ(found[1].licence, "MIT");
  EXPECT_EQ(found[1].people, "none");
  EXPECT_EQ(found[2].caption, "a bird");
  EXPECT_EQ(found[2].caption_origin, "metadata");
  EXPECT_EQ(found[3].caption_origin, "none");
  EXPECT_TRUE(fs::exists(set / found[3].file));
}

TEST_F(AddPictures, RefusesPicturesWithoutALicence) {
  write(in / "a.png", picture(1));
  options.licence = "";
  try {
    add();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("a.png"), HasSubstr("--allow-unlicensed")));
  }
  options.allow_unlicensed = true;
  EXPECT_EQ(add().added, 1);
  EXPECT_EQ(rows()[0].licence, "unknown");
}

TEST_F(AddPictures, KeepsOutWhatOptsOut) {
  const std::vector<TextEntry> noai{{"robots", "noai, noimageai"}};
  const std::vector<TextEntry> tdm{{"XML:com.adobe.xmp", "<x tdm:reservation=\"1\"/>"}};
  const std::vector<TextEntry> plus{
      {"XML:com.adobe.xmp", "<plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"}};
  const std::vector<TextEntry> c2pa{
      {"box", "cawg.training-mining ... cawg.ai_generative_training use notAllowed"}};
  write(in / "noai.png", picture(1, 40, 32, noai));
  write(in / "tdm.png", picture(2, 40, 32, tdm));
  write(in / "plus.png", picture(3, 40, 32, plus));
  write(in / "c2pa.png", picture(4, 40, 32, c2pa));
  write(in / "aipref.png", picture(5));
  write(in / "aipref.json", R"({"content-usage": "train-ai=n"})");
  write(in / "reserved" / "x.png", picture(6));
  write(in / "reserved" / "tdmrep.json", R"([{"location": "/", "tdm-reservation": 1}])");
  write(in / "forbidden" / "y.png", picture(7));
  write(in / "forbidden" / "robots.txt", "User-Agent: *\nContent-Usage: train-ai=n\n");
  write(in / "free.png", picture(8));
  write(in / "free.txt", "canoaing on a lake, reservation 1");
  const AddResult result = add();
  EXPECT_EQ(result.added, 1);
  EXPECT_EQ(result.excluded, 7);
  std::map<std::string, std::string> signals;
  for (const Row& row : rows()) signals[row.name] = row.opt_out.value_or("");
  EXPECT_THAT(signals["noai"], HasSubstr("noai"));
  EXPECT_THAT(signals["tdm"], HasSubstr("TDMRep"));
  EXPECT_THAT(signals["plus"], HasSubstr("DMI-PROHIBITED-AIMLTRAINING"));
  EXPECT_THAT(signals["c2pa"], HasSubstr("cawg.training-mining"));
  EXPECT_THAT(signals["aipref"], HasSubstr("AIPREF"));
  EXPECT_THAT(signals["x"], HasSubstr("tdmrep.json"));
  EXPECT_THAT(signals["y"], HasSubstr("robots.txt"));
  EXPECT_EQ(signals["free"], "");
}

TEST_F(AddPictures, EverySignalIsFoundWhereverItStands) {
  struct Case {
    const char *name, *file, *text, *signal;
  };
  const Case cases[] = {
      {"1", "1.headers", "HTTP/1.1 200 OK\r\nX-Robots-Tag: noimageai\r\n", "noai"},
      {"2", "2.html", "<meta name=\"robots\" content=\"index, NoAI\">", "noai"},
      {"3", "3.headers", "TDM-Reservation: 1\r\n", "TDMRep"},
      {"4", "4.html", "<meta name=\"tdm-reservation\" content=\"1\">", "TDMRep"},
      {"5", "5.xmp", "<tdm:reservation>1</tdm:reservation>", "TDMRep"},
      {"6", ".well-known/tdmrep.json", R"([{"location": "/*", "tdm-reservation": 1}])", "TDMRep"},
      {"7", "7.headers", "Content-Usage: search=y, train-ai = n\r\n", "AIPREF"},
      {"8", "ai.txt", "User-Agent: *\nContent-Usage: / train-ai=n\n", "AIPREF"},
      {"9", "ai.txt", "User-Agent: *\nDisallow: *.png\n", "ai.txt"},
      {"10", "10.xmp", "plus:DataMining=\"DMI-PROHIBITED\"", "PLUS"},
      {"11", "11.json", R"({"opt_out": "asked by letter"})", "asked by letter"},
  };
  int seed = 0;
  for (const Case& c : cases) {
    write(in / c.name / (std::string(c.name) + ".png"), picture(++seed));
    write(in / c.name / c.file, c.text);
  }
  struct {
    const char *file, *text;
  } const allowed[] = {{"headers", "TDM-Reservation: 0\nContent-Usage: train-ai=y\nX-Robots-Tag: none"},
                       {"html", "tdm-reservation content=10 noaim"},
                       {"xmp", "plus:DataMining=\"DMI-ALLOWED\""}};
  write(in / "free" / "free.png", picture(++seed));
  write(in / "free" / "ai.txt", "User-Agent: *\nDisallow: *.mp3\nDisallow:\n");
  for (const auto& note : allowed) write(in / "free" / (std::string("free.") + note.file), note.text);

  EXPECT_EQ(add().added, 1);
  std::map<std::string, std::string> found;
  for (const Row& row : rows()) found[row.name] = row.excluded.value_or("");
  for (const Case& c : cases) EXPECT_THAT(found[c.name], HasSubstr(c.signal)) << c.name;
  EXPECT_EQ(found["free"], "");
  EXPECT_THAT(found["6"], testing::Not(HasSubstr(root.string()))) << "no paths of this machine";
}

TEST_F(AddPictures, AnOptOutFoundLaterCountsForThePictureTakenBefore) {
  write(in / "a.png", picture(1));
  add();
  EXPECT_FALSE(rows()[0].excluded);
  write(root / "again" / "b.png", picture(1));
  write(root / "again" / "b.headers", "tdm-reservation: 1");
  EXPECT_EQ(add({root / "again"}).excluded, 1);
  ASSERT_EQ(rows().size(), 1u);
  EXPECT_THAT(rows()[0].excluded.value_or(""), HasSubstr("TDMRep"));
}

TEST_F(AddPictures, ExcludesOtherFilesOfTheSamePixels) {
  write(in / "a.png", picture(1));
  const std::vector<TextEntry> texts{{"Comment", "saved again"}};
  write(in / "b.png", picture(1, 40, 32, texts));
  write(in / "c.png", picture(2));
  const AddResult result = add();
  EXPECT_EQ(result.added, 2);
  EXPECT_EQ(rows()[1].excluded, "duplicate of " + rows()[0].sha256);
  write(root / "later" / "d.webp",
        encode_image(read_image(in / "a.png"), "png", std::vector<TextEntry>{{"x", "y"}}));
  add({root / "later"});
  EXPECT_EQ(rows()[3].excluded, "duplicate of " + rows()[0].sha256) << "also of an earlier run";
}

TEST_F(AddPictures, NamesThatAreNotUtf8LeaveTheManifestReadable) {
  write(in / "caf\xe9.png", picture(1));
  add();
  EXPECT_EQ(rows()[0].name, "caf\xc3\xa9");
}

TEST_F(AddPictures, ListsFieldsWithValuesThatAreNone) {
  write(in / "a.png", picture(1));
  write(in / "a.json", R"({"split": "test"})");
  write(in / "b.png", picture(2));
  write(in / "b.json", R"({"people": 3})");
  write(in / "c.png", picture(3));
  const AddResult result = add();
  EXPECT_EQ(result.added, 1);
  EXPECT_EQ(result.broken, 2);
  EXPECT_EQ(rows().size(), 1u) << "and the manifest can be read";
}

TEST_F(AddPictures, TakesTheExamplesOfAWebDataset) {
  EXPECT_EQ(add({kFolder / "pictures.tar"}).added, 2);  // tools/goldens/datasets.py
  EXPECT_EQ(rows()[0].caption, "a naïve cat");
  EXPECT_EQ(rows()[0].name, "shard/000");
  EXPECT_EQ(rows()[1].caption, "a dog");
  EXPECT_EQ(rows()[1].licence, "MIT");
}

TEST_F(AddPictures, SplitsByHashAlikeEveryTime) {
  for (int i = 0; i < 20; ++i) write(in / (std::to_string(i) + ".png"), picture(i, 32 + i));
  options.split = "auto";
  options.validation_share = 0.5;
  add();
  const auto first = rows();
  const auto held_out = std::ranges::count(first, "validation", &Row::split);
  EXPECT_GT(held_out, 2);
  EXPECT_LT(held_out, 18);
  fs::remove_all(set);
  add();
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(rows()[i].split, first[i].split);
}

TEST(Captions, AreCleanedOrLeftOutWithAReason) {
  EXPECT_EQ(clean_caption("\t a  cat\r\n").text, "a cat");
  EXPECT_THAT(clean_caption(" \n ").problem, HasSubstr("white space"));
  EXPECT_THAT(clean_caption(std::string(10'001, 'x')).problem, HasSubstr("10,000"));
  EXPECT_THAT(clean_caption(std::string_view("a\0b", 3)).problem, HasSubstr("NUL"));
  EXPECT_EQ(clean_caption("").problem, "");
}

TEST(Captions, AreFoundInTexts) {
  const auto of = [](const char* keyword, const char* text) {
    return caption_in(std::vector<TextEntry>{{"Software", "x"}, {keyword, text}});
  };
  EXPECT_EQ(of("parameters", "a cat,\nsitting\nNegative prompt: dog\nSteps: 20"), "a cat, sitting");
  EXPECT_EQ(of("parameters", "Steps: 20"), "");
  EXPECT_EQ(of("Description", "a cat"), "a cat");
  EXPECT_EQ(of("xmp", "<dc:description><rdf:Alt><rdf:li>a cat</rdf:li></rdf:Alt></dc:description>"), "a cat");
  EXPECT_EQ(of("Comment", "a cat"), "");
}

TEST_F(AddPictures, CountsWhatIsBrokenAndGoesOn) {
  write(in / "cut.png", picture(1).substr(0, 60));
  write(in / "text.png", "no picture at all");
  write(in / "animated.webp", read_file(kPictures / "animated.webp", 1 << 20));
  write(in / "cmyk.jpg", read_file(kPictures / "cmyk.jpg", 1 << 20));
  write(in / "good.png", picture(2));
  write(in / "twin.png", picture(2));
  write(in / "side.png", picture(3));
  write(in / "side.json", "{broken");
  write(in / "latin.png", picture(4));
  write(in / "latin.txt", "caf\xe9");
  const AddResult result = add();
  EXPECT_EQ(result.added, 3);  // cmyk, good, latin
  EXPECT_EQ(result.known, 1);
  EXPECT_EQ(result.broken, 4);
  EXPECT_THAT(result.problems, testing::Contains(HasSubstr("latin.png: its caption is not valid UTF-8")));
  EXPECT_EQ(add().added, 0) << "a second time finds nothing new";
}

TEST_F(AddPictures, ListsAManifestsLies) {
  write(in / "a.png", picture(1));
  write(in / "b.png", picture(2));
  write(in / "m.jsonl",
        "{\"file\": \"a.png\", \"caption\": \"x\", \"sha256\": \"" + std::string(64, '0') +
            "\"}\n{\"file\": \"gone.png\"}\nnot json\n{\"file\": \"b.png\", \"caption\": \"good\"}\n");
  const AddResult result = add({in / "m.jsonl"});
  EXPECT_EQ(result.added, 1);
  EXPECT_EQ(result.excluded, 1);
  EXPECT_EQ(result.broken, 2);
  EXPECT_THAT(result.problems, testing::ElementsAre(HasSubstr("m.jsonl:1: sha256: expected 000"),
                                                    HasSubstr("m.jsonl:2"), HasSubstr("m.jsonl:3")));
  EXPECT_EQ(rows()[1].caption, "good");
  EXPECT_EQ(rows()[1].caption_origin, "manifest");
}

}  // namespace
}  // namespace limn::datasets
