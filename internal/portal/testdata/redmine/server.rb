# Starts Redmine with a few issues on a port of 127.0.0.1, and prints its address. The instance's directory is REDMINE_INSTANCE.
require "stringio"
require "webrick" # before Redmine, whose bundle would hide it
require "rack"
require "rack/handler/webrick"
require "/usr/share/redmine/config/environment"

ActiveRecord::Base.logger = nil
ActiveRecord::Migration.verbose = false
if ActiveRecord::Base.connection.tables.empty?
  ActiveRecord::MigrationContext.new("/usr/share/redmine/db/migrate", ActiveRecord::SchemaMigration).migrate
  ActiveRecord::Base.descendants.each(&:reset_column_information)
  Redmine::DefaultData::Loader.load("en")
end

Setting.login_required = "1"
Setting.host_name = "127.0.0.1"
admin = User.find_by(login: "admin")
admin.update!(password: "open-sesame", password_confirmation: "open-sesame", must_change_passwd: false)
other = User.new(login: "buyer", firstname: "Bea", lastname: "Buyer", mail: "buyer@example.com", password: "open-sesame", password_confirmation: "open-sesame")
other.save!

def issue(project, author, subject, files = {})
  i = Issue.create!(project: project, tracker: project.trackers.first, author: author, subject: subject, priority: IssuePriority.default || IssuePriority.first, status: IssueStatus.first)
  files.each do |name, body|
    file = StringIO.new(body)
    file.define_singleton_method(:original_filename) { name }
    file.define_singleton_method(:content_type) { "application/octet-stream" }
    a = Attachment.create!(file: file, author: author, container: i)
    raise "not attached" unless a.persisted?
  end
  i
end

project = Project.create!(name: "Purchasing", identifier: "purchasing", is_public: true, trackers: Tracker.all)
closed = Project.create!(name: "Closed", identifier: "closed", is_public: false, trackers: Tracker.all)
issue(project, admin, "Office chairs", "Quote für Stühle.pdf" => "%PDF-1.4 quote", "Terms.txt" => "terms")
issue(project, admin, "Nothing attached; Access denied, says the supplier (404)")
issue(closed, admin, "Confidential", "Secret.pdf" => "%PDF-1.4 secret")

server = WEBrick::HTTPServer.new(BindAddress: "127.0.0.1", Port: 0, Logger: WEBrick::Log.new(File::NULL), AccessLog: [])
server.mount "/", Rack::Handler::WEBrick, Rails.application
puts "http://127.0.0.1:#{server.config[:Port]}"
$stdout.flush
trap("TERM") { server.shutdown }
server.start
