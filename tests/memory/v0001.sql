-- A small memory as the first release made it; memories like it must open for ever.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
  version_num VARCHAR(32) NOT NULL,
  CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v0001');
CREATE TABLE cursors (
  "key" TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY ("key")
) WITHOUT ROWID;
INSERT INTO "cursors" VALUES('import',1);
CREATE TABLE edges (
  id INTEGER NOT NULL,
  subject INTEGER NOT NULL,
  relation INTEGER NOT NULL,
  object INTEGER NOT NULL,
  source INTEGER NOT NULL,
  origin INTEGER NOT NULL,
  confidence FLOAT NOT NULL,
  time FLOAT,
  since INTEGER NOT NULL,
  PRIMARY KEY (id),
  FOREIGN KEY(subject) REFERENCES nodes (id),
  FOREIGN KEY(relation) REFERENCES relations (id),
  FOREIGN KEY(object) REFERENCES nodes (id),
  FOREIGN KEY(source) REFERENCES sources (id),
  FOREIGN KEY(origin) REFERENCES origins (id),
  FOREIGN KEY(since) REFERENCES writes (seq)
);
INSERT INTO "edges" VALUES(1,1,0,2,1,0,0.9,NULL,2);
CREATE TABLE embedders (
  id INTEGER NOT NULL,
  name TEXT NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (id)
);
INSERT INTO "embedders" VALUES(0,'words',4);
CREATE TABLE embeddings (
  embedder INTEGER NOT NULL,
  what SMALLINT NOT NULL,
  id INTEGER NOT NULL,
  vector BLOB NOT NULL,
  PRIMARY KEY (embedder, what, id),
  FOREIGN KEY(embedder) REFERENCES embedders (id)
);
INSERT INTO "embeddings" VALUES(0,1,1,X'0000803F0000803F0000803F0000803F');
CREATE TABLE names (
  folded TEXT NOT NULL,
  kind SMALLINT NOT NULL,
  node INTEGER NOT NULL,
  rank SMALLINT NOT NULL,
  PRIMARY KEY (folded, kind, node),
  FOREIGN KEY(node) REFERENCES nodes (id)
) WITHOUT ROWID;
INSERT INTO "names" VALUES('egg',0,1,0);
INSERT INTO "names" VALUES('food',0,2,0);
INSERT INTO "names" VALUES('note',3,3,0);
INSERT INTO "names" VALUES('ovum',0,1,2);
CREATE TABLE nodes (
  id INTEGER NOT NULL,
  kind SMALLINT NOT NULL,
  name TEXT NOT NULL,
  text TEXT,
  aliases TEXT,
  source INTEGER NOT NULL,
  gone INTEGER,
  PRIMARY KEY (id),
  FOREIGN KEY(source) REFERENCES sources (id)
);
INSERT INTO "nodes" VALUES(1,0,'egg',NULL,'["ovum"]',0,NULL);
INSERT INTO "nodes" VALUES(2,0,'food',NULL,NULL,0,NULL);
INSERT INTO "nodes" VALUES(3,3,'note','An egg breaks.',NULL,0,NULL);
CREATE TABLE origins (
  id INTEGER NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (id)
);
INSERT INTO "origins" VALUES(0,'');
CREATE TABLE past (
  edge INTEGER NOT NULL,
  until INTEGER NOT NULL,
  subject INTEGER NOT NULL,
  relation INTEGER NOT NULL,
  object INTEGER NOT NULL,
  source INTEGER NOT NULL,
  origin INTEGER NOT NULL,
  confidence FLOAT NOT NULL,
  time FLOAT,
  since INTEGER NOT NULL,
  PRIMARY KEY (edge, until),
  FOREIGN KEY(until) REFERENCES writes (seq),
  FOREIGN KEY(subject) REFERENCES nodes (id),
  FOREIGN KEY(relation) REFERENCES relations (id),
  FOREIGN KEY(object) REFERENCES nodes (id),
  FOREIGN KEY(source) REFERENCES sources (id),
  FOREIGN KEY(origin) REFERENCES origins (id),
  FOREIGN KEY(since) REFERENCES writes (seq)
) WITHOUT ROWID;
INSERT INTO "past" VALUES(1,2,1,0,2,1,0,0.5,NULL,1);
CREATE TABLE relations (
  id INTEGER NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (id)
);
INSERT INTO "relations" VALUES(0,'IsA');
CREATE TABLE sources (
  id INTEGER NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (id)
);
INSERT INTO "sources" VALUES(0,'');
INSERT INTO "sources" VALUES(1,'me');
CREATE TABLE touched (
  seq INTEGER NOT NULL,
  what SMALLINT NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY (seq, what, id),
  FOREIGN KEY(seq) REFERENCES writes (seq)
) WITHOUT ROWID;
INSERT INTO "touched" VALUES(2,0,1);
CREATE TABLE writes (
  seq INTEGER NOT NULL,
  time FLOAT NOT NULL,
  edges INTEGER NOT NULL,
  nodes INTEGER NOT NULL,
  PRIMARY KEY (seq)
);
INSERT INTO "writes" VALUES(0,0.0,0,0);
INSERT INTO "writes" VALUES(1,1767225600.0,1,3);
INSERT INTO "writes" VALUES(2,1.76722560000000095364e+09,1,3);
CREATE UNIQUE INDEX relations_name ON relations (name);
CREATE UNIQUE INDEX sources_name ON sources (name);
CREATE UNIQUE INDEX origins_name ON origins (name);
CREATE UNIQUE INDEX embedders_name ON embedders (name);
CREATE UNIQUE INDEX edges_key ON edges (subject, relation, object, source);
CREATE INDEX edges_object ON edges (object);
CREATE INDEX past_key ON past (subject, relation, object, source);
CREATE INDEX past_object ON past (object);
COMMIT;
