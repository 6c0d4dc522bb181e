// SPDX-License-Identifier: Apache-2.0
#include "limn/server/picture_store.h"

#include <algorithm>

#include <gmock/gmock.h>

#include "limn/server/job_store.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class PictureStoreTest : public EveryDatabase {
 protected:
  /// A job that made these pictures, named by the test; real names are longer.
  Job make(const std::vector<std::string>& ids, const std::string& prompt = "a fox",
           const std::string& owner = "o") {
    jobs_.submit({.owner = owner, .request = {{"prompt", prompt}}});
    const Job job = jobs_.claim("w", 1min).value();
    std::vector<NewPicture> pictures;
    for (const std::string& id : ids)
      pictures.push_back({id,
                          "png",
                          8,
                          9,
                          100,
                          "thumbnail of " + id,
                          {{"prompt", prompt},
                           {"negative_prompt", "blurry"},
                           {"model", "sd15"},
                           {"seed", uint64_t{18446744073709551615u}}}});
    EXPECT_TRUE(jobs_.finish(job, pictures, {}));
    return job;
  }
  std::vector<std::string> search(const PictureStore::Query& query) {
    std::vector<std::string> ids;
    const PictureStore::Page page = store_.search(query);
    for (const GalleryPicture& picture : page.pictures) ids.push_back(picture.id);
    EXPECT_EQ(page.total, static_cast<int64_t>(ids.size()));
    return ids;
  }
  std::vector<std::string> words(const std::string& text) { return search({.text = text}); }
  int64_t change(const std::vector<std::string>& ids, const PictureStore::Change& change,
                 const std::string& owner = "") {
    return store_.change(owner, ids, change);
  }
  std::vector<std::string> purge() {
    return store_.purge(
        std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now() + 1min), 0ms);
  }

  EventBus bus_;
  JobStore jobs_{*database_, bus_};
  PictureStore store_{*database_, bus_};
};
INSTANTIATE_TEST_SUITE_P(Dialect, PictureStoreTest, every_dialect(), name_of_dialect);

TEST_P(PictureStoreTest, KeepsAllOfAPicture) {
  const Job job = make({"a", "b"});
  const GalleryPicture picture = store_.find("b").value();
  EXPECT_EQ(picture.id, "b");
  EXPECT_EQ(picture.job, job.id);
  EXPECT_EQ(picture.owner, "o");
  EXPECT_EQ(picture.format, "png");
  EXPECT_EQ(picture.thumbnail, "thumbnail of b");
  EXPECT_EQ(picture.index, 1);
  EXPECT_EQ(picture.width, 8);
  EXPECT_EQ(picture.height, 9);
  EXPECT_EQ(picture.bytes, 100);
  EXPECT_EQ(picture.record.at("seed"), uint64_t{18446744073709551615u});
  EXPECT_THAT(picture.tags, IsEmpty());
  EXPECT_EQ(picture.rating, 0);
  EXPECT_LT(std::chrono::abs(picture.created - std::chrono::system_clock::now()), 10s);
  EXPECT_FALSE(picture.deleted);
  EXPECT_EQ(store_.find("none"), std::nullopt);
  EXPECT_TRUE(store_.find("b", "o"));
  EXPECT_FALSE(store_.find("b", "somebody else"));
}

TEST_P(PictureStoreTest, ShowsTheNewestFirstInPages) {
  std::vector<std::string> all;
  for (int i = 0; i < 7; ++i) {
    all.insert(all.begin(), "p" + std::to_string(i));
    make({all.front()}, "a fox", i % 2 ? "o" : "p");
  }
  EXPECT_EQ(search({}), all);
  EXPECT_THAT(search({.owner = "o"}), ElementsAre("p5", "p3", "p1"));
  EXPECT_THAT(search({.owner = "nobody"}), IsEmpty());
  for (const char* owner : {"", "o"}) {
    std::vector<std::string> paged;
    PictureStore::Query query{.owner = owner, .text = "fox", .limit = 2};
    for (;;) {
      const PictureStore::Page page = store_.search(query);
      EXPECT_EQ(page.total, *owner ? 3 : 7) << "of the whole, on every page";
      if (page.pictures.empty()) break;
      EXPECT_LE(page.pictures.size(), 2u);
      for (const GalleryPicture& picture : page.pictures) paged.push_back(picture.id);
      query.before = paged.back();
    }
    EXPECT_EQ(paged, search({.owner = owner}));
  }
}

TEST_P(PictureStoreTest, FindsWordsByTheirBeginning) {
  make({"1"}, "a red fox in the snow, masterpiece");
  make({"2"}, "Ein rotes Café bei Nacht");
  make({"3"}, "黒い猫, 1girl, v1-5_pruned.safetensors");
  make({"4"}, "the foxtrot: (detailed:1.2) <lora:x:0.8> https://example.org/a-b");
  change({"2"}, {.add_tags = {"Favourite", "to print"}});
  EXPECT_THAT(words("fox"), ElementsAre("4", "1"));
  EXPECT_THAT(words("FOX red"), ElementsAre("1"));
  EXPECT_THAT(words("foxt"), ElementsAre("4"));
  EXPECT_THAT(words("ox"), IsEmpty());
  EXPECT_THAT(words("cafe"), ElementsAre("2"));
  EXPECT_THAT(words("CAFÉ na"), ElementsAre("2"));
  EXPECT_THAT(words("favour"), ElementsAre("2"));
  EXPECT_THAT(words("print"), ElementsAre("2"));
  EXPECT_THAT(words("猫"), ElementsAre("3"));
  EXPECT_THAT(words("猫黒"), ElementsAre("3"));
  EXPECT_THAT(words("pruned"), ElementsAre("3"));
  EXPECT_THAT(words("safe v1"), ElementsAre("3"));
  EXPECT_THAT(words("example"), ElementsAre("4"));
  EXPECT_THAT(words("lora 0"), ElementsAre("4"));
  EXPECT_THAT(words("1"), ElementsAre("4", "3"));
  EXPECT_THAT(words("blur").size(), 4u) << "the negative prompt";
  EXPECT_THAT(words("sd15").size(), 4u) << "the model";
  EXPECT_THAT(words("").size(), 4u);
  EXPECT_THAT(words(" ,.").size(), 4u) << "no word asks for nothing";
  EXPECT_THAT(words("fox nothing"), IsEmpty());
}

TEST_P(PictureStoreTest, TakesWhatLooksLikeSyntaxAsWords) {
  make({"1"}, "words: fox and or not near");
  for (const char* text : {"fox AND", "\"fox", "fox*", "fox & or", "NOT fox", "fox:*", "'fox' ! |", "(fox",
                           "near(fox)", "words : fox", "fox\\"})
    EXPECT_EQ(search({.text = text}), words("fox")) << text;
  EXPECT_THAT(words("fox cat OR"), IsEmpty());
}

TEST_P(PictureStoreTest, SearchesByTagsRatingAndJob) {
  const Job job = make({"1", "2", "3"});
  make({"4"});
  EXPECT_EQ(change({"1", "2"}, {.add_tags = {"good", " cat "}, .rating = 4}), 2);
  EXPECT_EQ(change({"2"}, {.add_tags = {"sky"}, .rating = 5}), 1);
  EXPECT_THAT(search({.tags = {"good"}}), ElementsAre("2", "1"));
  EXPECT_THAT(search({.tags = {"good", "sky"}}), ElementsAre("2"));
  EXPECT_THAT(search({.tags = {"Good"}}), IsEmpty());
  EXPECT_THAT(search({.least_rating = 5}), ElementsAre("2"));
  EXPECT_THAT(search({.least_rating = 1}), ElementsAre("2", "1"));
  EXPECT_THAT(search({.job = job.id}), ElementsAre("3", "2", "1"));
  EXPECT_THAT(search({.text = "cat", .tags = {"good"}, .least_rating = 5, .job = job.id}), ElementsAre("2"));
  EXPECT_THAT(store_.find("2")->tags, ElementsAre("cat", "good", "sky"));
  EXPECT_THAT(store_.tags(""), ElementsAre(Pair("cat", 2), Pair("good", 2), Pair("sky", 1)));
  EXPECT_THAT(store_.tags("nobody"), IsEmpty());
}

TEST_P(PictureStoreTest, ChangesTags) {
  make({"1"});
  change({"1"}, {.add_tags = {"b", "a", "b"}});
  EXPECT_THAT(store_.find("1")->tags, ElementsAre("a", "b"));
  change({"1"}, {.add_tags = {"c"}, .remove_tags = {"a", "none"}});
  EXPECT_THAT(store_.find("1")->tags, ElementsAre("b", "c"));
  EXPECT_THAT(words("a"), ElementsAre("1")) << "of the prompt";
  EXPECT_THAT(words("b c"), ElementsAre("1"));
  change({"1"}, {.set_tags = std::vector<std::string>{"ε, x"}});
  EXPECT_THAT(store_.find("1")->tags, ElementsAre("ε, x"));
  EXPECT_THAT(words("c"), IsEmpty());
  change({"1"}, {.set_tags = std::vector<std::string>{}});
  EXPECT_THAT(store_.find("1")->tags, IsEmpty());
  EXPECT_THAT(words("ε"), IsEmpty());
}

TEST_P(PictureStoreTest, RefusesChangesThatCannotBe) {
  make({"1", "2"});
  std::vector<std::string> many;
  for (int i = 0; i < 65; ++i) many.push_back("t" + std::to_string(i));
  for (const PictureStore::Change& wrong :
       {PictureStore::Change{.rating = 6}, PictureStore::Change{.rating = -1},
        PictureStore::Change{.add_tags = {""}}, PictureStore::Change{.add_tags = {" \t"}},
        PictureStore::Change{.add_tags = {"a\x1f"
                                          "b"}},
        PictureStore::Change{.add_tags = {std::string(65, 'x')}}, PictureStore::Change{.set_tags = many}})
    EXPECT_EQ(code_of([&] { change({"1", "2"}, wrong); }), ErrorCode::InvalidArgument);
  change({"2"}, {.set_tags = std::vector<std::string>(many.begin(), many.begin() + 64)});
  EXPECT_EQ(code_of([&] { change({"1", "2"}, {.add_tags = {"one more"}}); }), ErrorCode::InvalidArgument);
  EXPECT_THAT(store_.find("1")->tags, IsEmpty()) << "all or none";
  EXPECT_EQ(change({"none"}, {.rating = 5}), 0);
  EXPECT_EQ(change({}, {.rating = 5}), 0);
}

TEST_P(PictureStoreTest, TheBinHoldsWhatWasDeleted) {
  make({"1", "2", "3"});
  change({"2"}, {.add_tags = {"t"}});
  EXPECT_EQ(change({"2"}, {.deleted = true}), 1);
  EXPECT_THAT(search({}), ElementsAre("3", "1"));
  EXPECT_THAT(search({.deleted = true}), ElementsAre("2"));
  EXPECT_THAT(search({.text = "fox", .tags = {"t"}, .deleted = true}), ElementsAre("2"));
  EXPECT_THAT(store_.tags(""), IsEmpty());
  const auto since = store_.find("2")->deleted;
  EXPECT_TRUE(since);
  change({"2"}, {.deleted = true});
  EXPECT_EQ(store_.find("2")->deleted, since);
  change({"2"}, {.deleted = false});
  EXPECT_THAT(search({}), ElementsAre("3", "2", "1"));
  EXPECT_FALSE(store_.find("2")->deleted);
}

TEST_P(PictureStoreTest, EachOwnerChangesOnlyTheirOwn) {
  make({"1", "same"}, "a fox", "o");
  make({"2", "same"}, "a fox", "p");
  EXPECT_EQ(change({"1", "2", "same"}, {.rating = 3, .deleted = true}, "o"), 2);
  EXPECT_THAT(search({.owner = "o"}), IsEmpty());
  EXPECT_THAT(search({.owner = "p"}), ElementsAre("same", "2"));
  EXPECT_EQ(store_.find("same", "o")->rating, 3);
  EXPECT_EQ(store_.find("same", "p")->rating, 0);
  EXPECT_EQ(store_.find("same")->owner, "p") << "before one in the bin";
  EXPECT_EQ(change({"same"}, {.rating = 1}), 1);
  EXPECT_EQ(store_.find("same", "o")->rating, 1);
  EXPECT_EQ(store_.find("same", "p")->rating, 1);
}

TEST_P(PictureStoreTest, TheSameBytesAgainAreTheSamePictureOfBothJobs) {
  const Job first = make({"1", "2", "2"});
  change({"1"}, {.add_tags = {"kept"}, .rating = 4, .deleted = true});
  const Job second = make({"3", "1"});
  const GalleryPicture picture = store_.find("1").value();
  EXPECT_FALSE(picture.deleted);
  EXPECT_EQ(picture.job, second.id);
  EXPECT_EQ(picture.index, 1);
  EXPECT_EQ(picture.rating, 4);
  EXPECT_THAT(picture.tags, ElementsAre("kept"));
  EXPECT_THAT(words("kept fox"), ElementsAre("1"));
  EXPECT_THAT(jobs_.find(first.id)->pictures, ElementsAre("1", "2", "2"));
  EXPECT_THAT(jobs_.find(second.id)->pictures, ElementsAre("3", "1"));
  EXPECT_THAT(search({.job = first.id}), ElementsAre("2", "1"));
  EXPECT_THAT(search({.job = second.id}), ElementsAre("3", "1"));
}

TEST_P(PictureStoreTest, PurgeForgetsTheBinAndTellsWhatNobodyNeeds) {
  const Job job = make({"1", "2"});
  change({"1", "2"}, {.add_tags = {"t"}});
  EXPECT_THAT(purge(), IsEmpty());
  change({"1"}, {.deleted = true});
  EXPECT_THAT(store_.purge(*store_.find("1")->deleted, 0ms), IsEmpty()) << "not in the bin for long enough";
  EXPECT_TRUE(store_.find("1"));
  EXPECT_THAT(purge(), UnorderedElementsAre("1", "thumbnail of 1"));
  EXPECT_FALSE(store_.find("1"));
  EXPECT_THAT(search({.deleted = true}), IsEmpty());
  EXPECT_THAT(words("t"), ElementsAre("2"));
  EXPECT_THAT(store_.tags(""), ElementsAre(Pair("t", 1)));
  EXPECT_THAT(jobs_.find(job.id)->pictures, ElementsAre("2"));
  EXPECT_THAT(purge(), IsEmpty());
}

TEST_P(PictureStoreTest, PurgeKeepsWhatAnybodyNeeds) {
  const std::string input(64, 'a');
  make({input, "of two", "made again"});
  make({"of two"}, "a fox", "p");
  jobs_.submit(
      {.owner = "z",
       .request = {{"prompt", "x"}, {"loras", json::array{json::object{{"file", "input:" + input}}}}}});
  change({input, "of two", "made again"}, {.deleted = true}, "o");
  EXPECT_THAT(purge(),
              UnorderedElementsAre("thumbnail of " + input, "made again", "thumbnail of made again"));
  change({"of two"}, {.deleted = true}, "p");
  EXPECT_THAT(purge(), UnorderedElementsAre("of two", "thumbnail of of two"));
}

TEST_P(PictureStoreTest, PurgeWaitsBeforeItLetsABlobGo) {
  make({"1", "2"});
  change({"1", "2"}, {.deleted = true});
  const Time later = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now() + 1min);
  EXPECT_THAT(store_.purge(later, 1h), IsEmpty());
  EXPECT_FALSE(store_.find("1"));
  make({"2"});
  EXPECT_THAT(purge(), UnorderedElementsAre("1", "thumbnail of 1"));
}

TEST_P(PictureStoreTest, PurgeForgetsInputsThatNeitherAJobNorAPictureNeeds) {
  const auto before = [](std::chrono::milliseconds age) {
    return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now() - age);
  };
  const std::string sent(64, '1'), named(64, '2'), drawn(64, '3');
  const auto job_from = [&](const std::string& input) {
    return jobs_.submit({.owner = "o", .request = {{"prompt", "x"}, {"init_image", "input:" + input}}});
  };
  store_.note_input(sent);
  const Job given_up = job_from(named);
  job_from(drawn);
  jobs_.set_paused(given_up.id, true);
  const Job done = jobs_.claim("w", 1min).value();
  EXPECT_THAT(store_.purge(before(1min), 0ms), IsEmpty()) << "sent a moment ago";
  EXPECT_THAT(purge(), ElementsAre(sent)) << "the others are of jobs that have not ended";

  jobs_.cancel(given_up.id);
  jobs_.finish(done, std::vector<NewPicture>{{.id = "p", .format = "png", .thumbnail = "t"}}, {});
  EXPECT_THAT(store_.purge(before(1min), 0ms), IsEmpty()) << "its job ended a moment ago";
  EXPECT_THAT(store_.purge(before(-1min), 1h), IsEmpty());
  store_.note_input(named);
  EXPECT_THAT(store_.purge(before(1min), 0ms), IsEmpty()) << "sent again in the meantime";
  EXPECT_THAT(purge(), ElementsAre(named)) << "the other's picture is in the gallery";
  change({"p"}, {.deleted = true});
  EXPECT_THAT(store_.purge(before(1min), 0ms), IsEmpty()) << "in the bin, it may come back";
  EXPECT_THAT(purge(), UnorderedElementsAre("p", "t", drawn));
}

TEST_P(PictureStoreTest, PurgeTellsTheBlobsOfCheckpoints) {
  const auto run = [&](const std::vector<std::string>& blobs) {
    jobs_.submit({.request = {{"prompt", "a"}}});
    const Job job = jobs_.claim("w", 1min).value();
    jobs_.save(job, blobs);
    return job;
  };
  const Job done = run({"c1", "shared"}), running = run({"c2", "shared"}), stale = run({"c3"}),
            anew = run({"c4"});
  jobs_.finish(done, {}, {});
  jobs_.drop_checkpoint(anew);
  EXPECT_THAT(purge(), UnorderedElementsAre("c1", "c4"));
  jobs_.cancel(running.id);
  jobs_.end_cancelled(running);
  EXPECT_THAT(purge(), UnorderedElementsAre("c2", "shared"));
  jobs_.recover(true);
  jobs_.save(stale, std::vector<std::string>{"c3", "c5"});
  jobs_.finish(stale, std::vector<NewPicture>{{.id = "lost", .thumbnail = "lost thumbnail"}}, {});
  EXPECT_THAT(purge(), UnorderedElementsAre("c5", "lost", "lost thumbnail")) << "c3 is the new worker's";
}

TEST_P(PictureStoreTest, TellsTheBus) {
  make({"1"});
  const auto ears = bus_.subscribe();
  change({"1"}, {.rating = 1});
  EXPECT_EQ(ears->next(0ms), (Event{Event::Kind::Gallery, "", "o"}));
  change({"none"}, {.rating = 1});
  EXPECT_EQ(ears->next(0ms), std::nullopt);
}

}  // namespace
}  // namespace limn::server
